"""The API application: routers, error handlers, limits. Composed here and nowhere else."""

from pathlib import Path
from typing import cast

import orjson
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.routing import Mount

from api.endpoints import (
    callbacks,
    compatible,
    deliveries,
    delivery_settings,
    health,
    images,
    jobs,
    listing,
    metrics,
    openai,
    usage,
    verbs,
)
from api.http import error_page, front_page
from api.http.body_size import BodyLimit
from api.http.constant_answers import Constant, ConstantAnswers, constant, constant_files
from api.http.head_requests import HeadAsGet
from api.http.pages import page
from api.http.problem_answers import install_problem_handlers
from api.openapi import complete
from api.state import lifespan
from config.settings import Settings

BATCH_BYTES = 4 * 1024 * 1024
"""1,000 requests of 4 KiB, four times the documentation's example: decoding more would block other requests."""
PARTS = (
    jobs,
    images,
    listing,
    verbs,
    usage,
    deliveries,
    delivery_settings,
    callbacks,
    health,
    metrics,
    compatible,
    openai,
    error_page,
    front_page,
)
"""Everything with routes, in the order that OpenAPI shows them in."""
NO_TELEMETRY = dict.fromkeys(("tracing", "metrics", "logs", "operation_spans", "auto_configure"), False)
"""FastAPI's own trace spans would contain whole addresses: signatures of images, filters of lists."""


STATIC = "/static-offline-docs"


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings."""
    app = FastAPIOffline(
        title="Darkroom",
        summary="Never billed twice, never lost: text-to-image jobs with a webhook receiver",
        version="0.1.0",
        lifespan=lifespan,
        static_url=STATIC,
        redoc_url=None,
        telemetry=NO_TELEMETRY,
        redirect_slashes=False,  # a redirect is built from the Host header, which the caller controls
    )
    app.state.settings = settings
    for part in PARTS:
        app.include_router(part.router)
    install_problem_handlers(app)
    complete(app.openapi())  # made once and kept by the application
    app.add_middleware(HeadAsGet)
    app.add_middleware(ConstantAnswers, answers=_constant_answers(app))
    app.add_middleware(BodyLimit, default_bytes=settings.max_body_bytes, overrides={"/v1/jobs/batch": BATCH_BYTES})
    return app


def _constant_answers(app: FastAPI) -> dict[str, Constant]:
    """What anybody may ask for without a key, as often as they like."""
    static = next(route for route in app.routes if isinstance(route, Mount))
    app.routes.remove(static)  # it would read each file anew for everybody, in threads
    folder = Path(cast("StaticFiles", static.app).directory or "")
    return {
        "/openapi.json": constant(orjson.dumps(app.openapi()), "application/json"),
        "/healthz": constant(b'{"status":"alive"}', "application/json", "no-store"),
        "/": page(front_page.PAGE),
        "/docs": page(_reference(app)),
        "/docs/errors": page(error_page.PAGE),
    } | constant_files(folder, static.path)


def _reference(app: FastAPI) -> str:
    """`/docs`, from files of our own only, as FastAPIOffline makes it."""
    html = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=f"{app.title} - Swagger UI",
        swagger_js_url=f"{STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{STATIC}/favicon.png",
    )
    return bytes(html.body).decode()
