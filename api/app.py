"""The API application: routers, error handlers, limits. Composed here and nowhere else."""

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi_offline import FastAPIOffline

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
from api.http import error_page
from api.http.body_size import BodyLimit
from api.http.head_requests import HeadAsGet
from api.http.problems import install_problem_handlers
from api.openapi import complete
from api.state import lifespan
from config.settings import Settings

BATCH_BYTES = 4 * 1024 * 1024
"""1,000 requests of 4 KiB, four times the documentation's example: decoding more would block other requests."""

FRONT_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Darkroom</title>
<style>body{font:16px/1.6 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem;background:#151013;color:#eee}
a{color:#ff7a6b}h1{color:#ff5a4a}</style>
<h1>Darkroom</h1><p>An asynchronous job queue for text-to-image generation.</p>
<ul><li><a href="/docs">API reference</a> (<a href="/openapi.json">OpenAPI</a>)</li>
<li><a href="/healthz">alive</a>, <a href="/readyz">ready</a>, <a href="/metrics">metrics</a></li></ul></html>"""


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings."""
    app = FastAPIOffline(
        title="Darkroom",
        summary="Never billed twice, never lost: text-to-image jobs with a webhook receiver",
        version="0.1.0",
        lifespan=lifespan,
        redoc_url=None,
        # its own trace spans would contain whole addresses: signatures of images, filters of lists
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        redirect_slashes=False,  # a redirect is built from the Host header, which the caller controls
    )
    app.state.settings = settings
    parts = (
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
    )
    for part in parts:
        app.include_router(part.router)
    app.include_router(error_page.router)
    app.add_api_route("/", _front_page, include_in_schema=False, response_class=HTMLResponse)
    install_problem_handlers(app)
    complete(app.openapi())  # made once and kept by the application
    app.add_middleware(HeadAsGet)
    app.add_middleware(BodyLimit, default_bytes=settings.max_body_bytes, overrides={"/v1/jobs/batch": BATCH_BYTES})
    return app


async def _front_page() -> str:
    return FRONT_PAGE
