"""What a client says to the sandbox, and what it looks at afterwards: over real sockets."""

from io import BytesIO
from typing import Any

import httpx
from PIL import Image

from tests.support.processes import until

HTTP = httpx.Client(trust_env=False, timeout=30)
FAMILIES = ("/api/v1/enterprise", "/api/v1/enterprise/images", "/api/v1/enterprise/community", "/api/v6/images")


def submit(url: str, prompt: str = "a cat", *, family: str = FAMILIES[0], **more: object) -> httpx.Response:
    body = {"key": "sandbox", "model_id": "m", "prompt": prompt, "width": 64, "height": "48"} | more
    return HTTP.post(f"{url}{family}/text2img", json=body)


def fetch(url: str, request_id: object, key: str = "sandbox") -> dict[str, Any]:
    return HTTP.post(f"{url}{FAMILIES[0]}/fetch", json={"key": key, "request_id": str(request_id)}).json()


def bill(url: str, track_id: str | None = None) -> dict[str, Any]:
    return HTTP.get(f"{url}/bill", params={"track_id": track_id} if track_id else {}).json()


def finished(url: str, answer: httpx.Response) -> list[str]:
    """The addresses of a request, once fetch knows them."""
    request_id = answer.json()["id"]
    return until(lambda: fetch(url, request_id)["status"] == "success" and fetch(url, request_id))["output"]


def image(address: str) -> Image.Image:
    image = Image.open(BytesIO(HTTP.get(address).raise_for_status().content))
    image.load()
    return image
