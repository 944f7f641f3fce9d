"""The sandbox's images, over real sockets: what was asked for, and what the faults make of it."""

import time
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO

import httpx
import pytest
from PIL import Image

from tests.support.processes import until
from tests.support.sandbox import running_sandbox
from tests.support.sandbox_calls import HTTP, fetch, finished, image, submit


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One sandbox for the whole module, with two keys."""
    with running_sandbox(sandbox_key="sandbox, other") as url:
        yield url


def test_an_image_has_the_size_that_was_asked_for(url: str) -> None:
    """Numbers may be text."""
    shown = image(finished(url, submit(url))[0])
    assert (shown.format, shown.size) == ("PNG", (64, 48))


def test_an_upscaled_image_is_twice_as_large(url: str) -> None:
    """Upscale doubles both sides."""
    assert image(finished(url, submit(url, upscale="yes"))[0]).size == (128, 96)


def test_samples_are_different_images(url: str) -> None:
    """Four samples, four scenes."""
    contents = {HTTP.get(address).content for address in finished(url, submit(url, samples="4"))}
    assert len(contents) == 4


def test_the_same_request_gives_the_same_bytes(url: str) -> None:
    """Prompt, seed and size decide."""
    one, two = (HTTP.get(finished(url, submit(url, seed=7))[0]).content for _ in range(2))
    assert one == two


def test_a_null_seed_comes_back_as_the_seed_that_was_used(url: str) -> None:
    """Asking again with it gives the same image."""
    first = submit(url, seed=None)
    seed = first.json()["meta"]["seed"]
    again = submit(url, seed=seed)
    assert 0 <= seed < 2**32
    assert HTTP.get(finished(url, first)[0]).content == HTTP.get(finished(url, again)[0]).content


def test_a_future_link_is_404_until_the_image_is_done(url: str) -> None:
    """And answers afterwards, at the same address."""
    address = submit(url, "[[delay=0.4]]").json()["future_links"][0]
    assert HTTP.get(address).status_code == 404
    assert until(lambda: HTTP.get(address).status_code == 200)


@pytest.mark.parametrize("change", ["-1.png", "-0.jpg", "-0", "-².png", ".png"])
def test_there_is_nothing_beside_an_image(url: str, change: str) -> None:
    """Other indexes and endings are 404."""
    address = finished(url, submit(url))[0]
    assert HTTP.get(address.replace("-0.png", change)).status_code == 404


def test_temporary_links_are_under_temp(url: str) -> None:
    """As documented."""
    address = finished(url, submit(url, temp="yes"))[0]
    assert address.startswith(f"{url}/temp/")
    assert HTTP.get(address).status_code == 200


def test_an_expired_address_lives_again_once_it_is_fetched(url: str) -> None:
    """Addresses die; fetch tells fresh ones."""
    answer = submit(url, "[[expire=0.3]]")
    address = finished(url, answer)[0]
    until(lambda: HTTP.get(address).status_code == 404)
    fetch(url, answer.json()["id"])
    assert HTTP.get(address).status_code == 200


def test_images_are_missing_for_the_first_reads(url: str) -> None:
    """`image-404` counts reads, not time."""
    address = finished(url, submit(url, "[[image-404=2]]"))[0]
    assert [HTTP.get(address).status_code for _ in range(3)] == [404, 404, 200]


def test_images_break_off_for_the_first_reads(url: str) -> None:
    """The connection ends before the announced length."""
    address = finished(url, submit(url, "[[image-truncated=2]]"))[0]
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError):
            HTTP.get(address)
    assert image(address).size == (64, 48)


def test_an_image_may_trickle(url: str) -> None:
    """`slow-drip` spreads the bytes over that time, and they are whole in the end."""
    address = finished(url, submit(url, "[[slow-drip=0.4]]"))[0]
    began = time.monotonic()
    assert image(address).size == (64, 48)
    assert time.monotonic() - began > 0.3


@pytest.mark.parametrize(
    ("fault", "kind", "start"),
    [
        ("image-html", "image/png", b"<!doctype html>"),
        ("image-jpeg", "image/jpeg", b"\xff\xd8\xff"),
        ("image-webp", "image/webp", b"RIFF"),
        ("image-trailer", "image/png", b"\x89PNG"),
        ("nsfw", "image/png", b"\x89PNG"),
    ],
)
def test_an_image_is_what_the_fault_says(url: str, fault: str, kind: str, start: bytes) -> None:
    """Type and first bytes."""
    answer = HTTP.get(finished(url, submit(url, f"[[{fault}]]"))[0])
    assert answer.headers["content-type"] == kind
    assert answer.content.startswith(start)


def test_garbage_is_no_image(url: str) -> None:
    """Pillow does not know it."""
    with pytest.raises(OSError, match="cannot identify"):
        image(finished(url, submit(url, "[[image-garbage]]"))[0])


def test_a_trailer_follows_the_end_of_the_image(url: str) -> None:
    """Bytes after IEND."""
    content = HTTP.get(finished(url, submit(url, "[[image-trailer]]"))[0]).content
    assert content.endswith(b"</script>")


def test_a_bomb_is_small_and_claims_900_megapixels(url: str) -> None:
    """It is a valid PNG: only its size can be the reason to refuse it."""
    content = HTTP.get(finished(url, submit(url, "[[image-bomb]]"))[0], timeout=30).content
    assert len(content) < 200_000
    with pytest.raises(Image.DecompressionBombError, match="900000000 pixels"):
        Image.open(BytesIO(content))


def test_base64_addresses_lead_to_text(url: str) -> None:
    """Their path ends in .base64."""
    address = finished(url, submit(url, base64="yes"))[0]
    assert address.endswith(".base64")
    assert b64decode(HTTP.get(address).content, validate=True).startswith(b"\x89PNG")


@pytest.mark.parametrize(("fault", "head"), [("base64-inline", ""), ("base64-data-uri", "data:image/png;base64,")])
def test_output_may_hold_the_images_themselves(url: str, fault: str, head: str) -> None:
    """Inline base64 and data: URIs."""
    text = submit(url, f"[[sync]] [[{fault}]]").json()["output"][0]
    assert text.startswith(head)
    assert b64decode(text.removeprefix(head), validate=True).startswith(b"\x89PNG")


def test_fewer_images_than_samples_may_come(url: str) -> None:
    """`fewer` takes away from the end."""
    assert len(finished(url, submit(url, "[[fewer=1]]", samples=3))) == 2
