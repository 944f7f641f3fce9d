"""`/`: a page of links to what can be read without an API key."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

router = APIRouter()

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Darkroom</title>
<style>body{font:16px/1.6 system-ui;max-width:40rem;margin:4rem auto;padding:0 1rem;background:#151013;color:#eee}
a{color:#ff7a6b}h1{color:#ff5a4a}</style>
<h1>Darkroom</h1><p>An asynchronous job queue for text-to-image generation.</p>
<ul><li><a href="/docs">API reference</a> (<a href="/openapi.json">OpenAPI</a>)</li>
<li><a href="/healthz">alive</a>, <a href="/readyz">ready</a>, <a href="/metrics">metrics</a></li></ul></html>"""


@router.get("/", include_in_schema=False, response_class=HTMLResponse)
async def show_front_page() -> str:
    """The page."""
    return PAGE
