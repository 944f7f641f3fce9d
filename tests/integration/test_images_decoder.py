"""The decoder and its children, as processes: what kills or hangs a child costs one image and nothing else."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from tests.support.poison_child import ESCAPES
from tests.unit.test_images_decoded import painted, png_of
from worker.images.broken import BrokenImage
from worker.images.decoded import DecodedImage, inspect
from worker.images.decoder import CHILDREN, Decoder

POISONED = (sys.executable, "-m", "tests.support.poison_child")
HELD_BY_LIMITS = ("read a file", "read the parent's environment", "read the parent's memory", "dial", "make a socket")
NO_SECCOMP = (*POISONED, "without-seccomp")
GOOD = painted("PNG")
EXIF = b"Exif\x00\x00II*\x00\x08\x00\x00\x00\x01\x00\x1a\x01\x05\x00\x01\x00\x00\x00\x1a\x00\x00\x00"
KINDS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "PNG": [("RGB", {}), ("RGBA", {}), ("P", {"transparency": bytes([0, 128, 255])}), ("I;16", {}), ("1", {})],
    "JPEG": [("RGB", {}), ("CMYK", {}), ("RGB", {"progressive": True, "exif": EXIF}), ("L", {"comment": b"\xe9"})],
    "WEBP": [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"exif": EXIF, "icc_profile": b"x"})],
}
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@asynccontextmanager
async def decoding(**options: Any) -> AsyncIterator[Decoder]:
    """A decoder, closed at the end."""
    decoder = Decoder(Settings(_env_file=None), **options)
    try:
        yield decoder
    finally:
        await decoder.aclose()


def children() -> set[int]:
    """Processes that this one has started and not yet reaped.

    By their parent's id: the lists of children that each thread has change while threads end.
    """
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            stat = (process / "stat").read_text()
            if int(stat.rpartition(")")[2].split()[1]) == os.getpid():
                found.add(int(process.name))
    return found


def peak_bytes(pid: int) -> int:
    """The most memory that process ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


async def until(true: Callable[[], bool]) -> None:
    """Waits for something that nobody announces."""
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_child_finds_what_the_parent_would_find() -> None:
    """The image comes back whole, cut where it ends."""
    async with decoding() as decoder:
        found = await decoder.inspect(GOOD + b"trailer")
    assert (found.format, found.width, found.height, found.data) == ("PNG", 64, 48, GOOD)


async def test_a_broken_image_says_why() -> None:
    """The child's reason arrives, and the child goes on."""
    async with decoding() as decoder:
        with pytest.raises(BrokenImage, match="is not PNG, JPEG or WebP"):
            await decoder.inspect(b"<html>")
        assert (await decoder.inspect(GOOD)).format == "PNG"


@pytest.mark.parametrize(
    "poison",
    [b"segfault", b"abort", b"exit", b"silence", b"memory", b"file", b"spin", b"nonsense", b"too much"],
)
async def test_an_image_that_ends_its_decoder_is_broken(poison: bytes) -> None:
    """By a crash, by memory, by a file, by going silent or on for ever, by an answer that no decoder gives."""
    async with decoding(command=POISONED, seconds=1.5) as decoder:
        with pytest.raises(BrokenImage):
            await decoder.inspect(poison)
        assert (await decoder.inspect(GOOD)).format == "PNG"


async def test_neighbours_of_a_deadly_image_come_to_no_harm() -> None:
    """Also while it kills one child after the other."""
    poisons = [b"segfault", b"abort", b"exit"] * 4
    async with decoding(command=POISONED) as decoder:
        mixed = [each for pair in zip(poisons, [GOOD] * len(poisons), strict=True) for each in pair]
        results = await asyncio.gather(*(decoder.inspect(data) for data in mixed), return_exceptions=True)
    assert all(isinstance(each, BrokenImage) for each in results[0::2])
    assert all(isinstance(each, DecodedImage) for each in results[1::2])


async def test_neighbours_of_a_hanging_image_come_to_no_harm() -> None:
    """It is ended after its time; those that wait behind it have their whole time still before them."""
    async with decoding(command=POISONED, seconds=1.0) as decoder:
        mixed = [b"spin", GOOD, b"spin", *[GOOD] * 8]
        results = await asyncio.gather(*(decoder.inspect(data) for data in mixed), return_exceptions=True)
    assert [isinstance(each, DecodedImage) for each in results] == [False, True, False, *[True] * 8]


@on_linux
async def test_a_child_that_was_killed_is_replaced_unseen() -> None:
    """By the kernel, say, while it waited: the next image is not blamed."""
    before = children()
    async with decoding() as decoder:
        await decoder.inspect(GOOD)
        (child,) = children() - before
        os.kill(child, 9)
        assert (await decoder.inspect(GOOD)).format == "PNG"


@on_linux
async def test_there_are_never_more_children_than_said_and_none_afterwards() -> None:
    """Bounded under load; closing ends them."""
    before = children()
    async with decoding() as decoder:
        await asyncio.gather(*(decoder.inspect(GOOD) for _ in range(50)))
        assert 1 <= len(children() - before) <= CHILDREN
    assert children() <= before


@on_linux
async def test_closing_ends_children_that_are_at_work() -> None:
    """Whoever waits for them is told; nothing stays behind."""
    before = children()
    decoder = Decoder(Settings(_env_file=None), command=POISONED)
    asking = asyncio.create_task(decoder.inspect(b"spin"))
    await until(lambda: bool(children() - before))
    await decoder.aclose()
    with pytest.raises((BrokenImage, RuntimeError)):
        await asking
    assert children() <= before


async def told(decoder: Decoder, question: bytes) -> str:
    """What the child says about itself."""
    with pytest.raises(BrokenImage) as caught:
        await decoder.inspect(question)
    return str(caught.value)


async def test_a_child_knows_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that takes its decoder over finds no key there."""
    monkeypatch.setenv("DARKROOM_UPSTREAM_KEY", "canary-key")
    async with decoding(command=POISONED) as decoder:
        assert "canary-key" not in await told(decoder, b"environment")


@on_linux
async def test_an_image_that_takes_its_decoder_over_reaches_nothing() -> None:
    """No file, no socket, no process, no other program, neither its parent's memory nor its limits; and it goes on."""
    async with decoding(command=POISONED) as decoder:
        assert await decoder.jail() == "seccomp"
        came_of_it = {name: await told(decoder, name.encode()) for name in ESCAPES}
        assert (await decoder.inspect(GOOD)).format == "PNG"
    assert set(came_of_it.values()) == {"EPERM"}, came_of_it


@on_linux
async def test_without_seccomp_the_limits_are_left_and_it_is_said() -> None:
    """Then no file, no socket and nothing to write; what only seccomp forbids is named in the page of threats."""
    async with decoding(command=NO_SECCOMP) as decoder:
        assert await decoder.jail() == "limits"
        with capture_logs() as logs:
            came_of_it = {name: await told(decoder, name.encode()) for name in HELD_BY_LIMITS}
        assert (await decoder.inspect(GOOD)).format == "PNG"
    assert logs == [{"event": "decoder.jail", "log_level": "warning", "jail": "limits"}]
    assert set(came_of_it.values()) == {"EMFILE"}, came_of_it


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_the_jail_costs_no_image(form: str) -> None:
    """Large ones and all kinds of them: what decoding needs was loaded before, or is allowed."""
    images = [
        painted(form, size, mode, **options) for size in ((64, 48), (1024, 1024)) for mode, options in KINDS[form]
    ]
    async with decoding() as decoder:
        for each in images:
            assert await decoder.inspect(each) == inspect(each, 16_800_000)


@on_linux
async def test_a_bomb_costs_no_memory() -> None:
    """13,000 × 13,000 pixels in 30 kB, 662 MB with Pillow's own limits: refused before a pixel is decoded."""
    before = children()
    async with decoding() as decoder:
        await decoder.inspect(GOOD)
        (child,) = children() - before
        usual = peak_bytes(child)
        with pytest.raises(BrokenImage, match=r"more than|Bomb"):
            await decoder.inspect(png_of(13_000, 13_000))
        assert peak_bytes(child) - usual < 8 * 2**20


@on_linux
async def test_children_end_with_a_parent_that_was_killed() -> None:
    """Nobody is there to close the decoder then: the end of their stdin is enough."""
    script = (
        "import asyncio, os, sys\n"
        "from config.settings import Settings\n"
        "from tests.integration.test_images_decoder import GOOD, children\n"
        "from worker.images.decoder import Decoder\n"
        "async def main():\n"
        "    await Decoder(Settings(_env_file=None)).inspect(GOOD)\n"
        "    print(*children(), flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    said, _ = await parent.communicate()
    assert parent.returncode == -9
    left = [int(pid) for pid in said.splitlines()[-1].split()]
    assert left
    await until(lambda: not any(runs(pid) for pid in left))
