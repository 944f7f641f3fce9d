"""The local image store on a real disk: what is under a key is whole and durable, and nothing else is ever seen."""

import asyncio
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Settings
from worker.images.chosen import open_store
from worker.images.folder import LocalImages
from worker.images.store import NotStored, StoreError, checked_key, image_key
from worker.job.folder import job_folder

KEY = "acme/2026/11/24/01jxabc/0.png"
DATA = bytes(range(256)) * 3000
LIMIT_BYTES = 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the images go; not made yet."""
    return tmp_path / "images"


@pytest.fixture
def images(folder: Path) -> LocalImages:
    """A store in that folder."""
    return LocalImages(folder)


def files(folder: Path) -> list[str]:
    """Everything that lies in the folder, temporary files as well."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def put_in_the_way(path: Path) -> None:
    """A file where a folder is to be."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("in the way")


async def read(images: LocalImages, key: str, start: int = 0, end: int | None = None) -> bytes:
    """The bytes as they flow."""
    stored = await images.open(key, start, end)
    return b"".join([chunk async for chunk in stored.chunks])


async def test_what_is_saved_is_read_again(images: LocalImages, folder: Path) -> None:
    """Whole, with its size, as one file and no other."""
    await images.save(KEY, DATA)
    assert (await images.open(KEY)).size == len(DATA)
    assert await read(images, KEY) == DATA
    assert files(folder) == [KEY]


@pytest.mark.parametrize(("start", "end"), [(0, 1), (10, 20), (255_000, 600_000), (len(DATA) - 1, len(DATA)), (5, 5)])
async def test_a_part_is_read(images: LocalImages, start: int, end: int) -> None:
    """Any part, also over the boundaries of chunks."""
    await images.save(KEY, DATA)
    assert await read(images, KEY, start, end) == DATA[start:end]


async def test_what_is_saved_is_its_users_only(images: LocalImages, folder: Path) -> None:
    """Also where the process is less careful: a manifest holds the prompt."""
    await images.save(KEY, b"bytes")
    assert (folder / KEY).stat().st_mode & 0o777 == 0o600
    assert (folder / KEY).parent.stat().st_mode & 0o777 == 0o700


async def test_saving_again_replaces(images: LocalImages, folder: Path) -> None:
    """A job that is collected twice writes to the same place."""
    await images.save(KEY, b"first")
    await images.save(KEY, b"second")
    assert await read(images, KEY) == b"second"
    assert files(folder) == [KEY]


async def test_many_savers_of_one_key_leave_one_whole_file(images: LocalImages, folder: Path) -> None:
    """Whoever comes last wins; nobody reads a mixture."""
    contents = [bytes([number]) * 300_000 for number in range(12)]
    await asyncio.gather(*(images.save(KEY, each) for each in contents))
    assert await read(images, KEY) in contents
    assert files(folder) == [KEY]


async def test_what_is_not_there_is_not_stored(images: LocalImages) -> None:
    """Told apart from a store that is away."""
    with pytest.raises(NotStored):
        await images.open(KEY)


async def test_deleting_removes_one_job_only(images: LocalImages) -> None:
    """Also twice, and also where there was nothing."""
    other = KEY.replace("01jxabc", "01jxabcd")
    await images.save(KEY, b"x")
    await images.save(KEY.replace("0.png", "job.json"), b"{}")
    await images.save(other, b"y")
    for _ in range(2):
        await images.delete(KEY.removesuffix("/0.png"))
    with pytest.raises(NotStored):
        await images.open(KEY)
    assert await read(images, other) == b"y"


async def test_a_link_in_place_of_an_image_is_not_followed(images: LocalImages, folder: Path, tmp_path: Path) -> None:
    """Nobody who can write into the folder makes us read elsewhere."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    await images.save(KEY, b"x")
    (folder / KEY).unlink()
    (folder / KEY).symlink_to(secret)
    with pytest.raises(StoreError, match=r"symbolic links"):
        await read(images, KEY)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "png",
        "/etc/passwd",
        "../x/0.png",
        "a/../../0.png",
        "a/./0.png",
        "a//0.png",
        "/a/0.png",
        "a/.hidden.png",
        "a/0.png\n",
        "a/0.exe",
        "a/0.png/",
        "A/0.png",
        "a/ü.png",
        "a/0.png\x00.json",
        "a\\..\\0.png",
        "a/%2e%2e/0.png",
    ],
)
async def test_a_key_that_is_not_ours_is_a_loud_mistake(images: LocalImages, key: str) -> None:
    """Nothing touches the disk."""
    with pytest.raises(ValueError, match="not a key of ours"):
        await images.save(key, b"x")
    with pytest.raises(ValueError, match="not a key of ours"):
        await images.open(key)


@pytest.mark.parametrize("prefix", ["", ".", "..", "a/..", "/", "a/", "/a", "*"])
async def test_a_folder_that_is_no_job_of_ours_is_not_deleted(images: LocalImages, prefix: str) -> None:
    """Least of all the whole store."""
    with pytest.raises(ValueError, match="not a key of ours"):
        await images.delete(prefix)


@given(st.text(max_size=60))
def test_an_accepted_key_stays_inside_the_folder(key: str) -> None:
    """Whatever passes the check."""
    try:
        checked_key(key)
    except ValueError:
        return
    root = Path("/images")
    assert root in Path(f"{root}/{key}").parents
    assert ".." not in key


def test_keys_are_made_of_our_ids_and_the_day() -> None:
    """In lower case; midnight UTC decides."""
    just_before = 1_795_564_799_999  # 2026-11-24T23:59:59.999Z
    folder = job_folder("acme", just_before, "01JX")
    assert image_key(folder, 3, "0123456789abcdef", "JPEG") == "acme/2026/11/24/01jx/3-0123456789ab.jpg"
    assert job_folder("acme", just_before + 1, "01JX") == "acme/2026/11/25/01jx"


async def test_a_folder_that_cannot_be_made_is_a_store_error(images: LocalImages, folder: Path) -> None:
    """Something lies in the way: the store is away, no exception of another kind."""
    put_in_the_way(folder / "acme")
    with pytest.raises(StoreError):
        await images.save(KEY, b"x")
    with pytest.raises(StoreError):
        await images.delete(KEY.removesuffix("/0.png"))
    assert files(folder) == ["acme"]


async def test_a_write_that_breaks_off_leaves_nothing_visible(images: LocalImages, folder: Path) -> None:
    """Here the limit on a file's size; a full disk looks the same."""
    await images.save(KEY, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT_BYTES, hard))
    try:
        with pytest.raises(StoreError, match="too large"):
            await images.save(KEY, bytes(LIMIT_BYTES + 1))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert await read(images, KEY) == b"before"
    assert files(folder) == [KEY]


async def test_the_check_really_writes(images: LocalImages, folder: Path) -> None:
    """It makes the folder, leaves nothing in it, and finds what is in the way."""
    await images.check()
    assert files(folder) == []
    folder.rmdir()  # noqa: ASYNC240
    put_in_the_way(folder)
    with pytest.raises(StoreError):
        await images.check()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the system calls")
def test_bytes_and_names_are_on_disk_before_it_returns(folder: Path, tmp_path: Path) -> None:
    """The order that a power cut cannot break: file synced, renamed, then every folder up to the root synced."""
    strace = "/usr/bin/strace"
    if not Path(strace).exists():
        pytest.skip("strace is not installed")
    script = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom worker.images.folder import LocalImages\n"
        f"asyncio.run(LocalImages(Path(sys.argv[1])).save({KEY!r}, b'x'))\n"
    )
    trace = tmp_path / "trace"
    calls = "trace=fsync,rename,renameat,renameat2"
    subprocess.run(
        [strace, "-f", "-y", "-e", calls, "-o", trace, sys.executable, "-c", script, str(folder)],
        check=True,
        timeout=60,
    )
    seen = [line.split(" ", 1)[1].strip() for line in trace.read_text().splitlines() if str(folder) in line]
    names = [line.partition("(")[0] for line in seen]
    synced = [line.partition("<")[2].partition(">")[0] for line in seen if line.startswith("fsync")]
    job = folder / "acme/2026/11/24/01jxabc"
    assert names == ["fsync", names[1], *["fsync"] * 6]
    assert names[1].startswith("rename")
    assert synced[0].startswith(f"{job}/.0.png.")
    assert synced[1:] == [str(job), *(str(each) for each in job.parents if each == folder or folder in each.parents)]


async def test_the_settings_choose_the_store(folder: Path) -> None:
    """By the scheme of the address."""
    store = open_store(Settings(_env_file=None, images_url=f"file://{folder}"))
    assert isinstance(store, LocalImages)
    await store.save(KEY, b"an image")
    assert (folder / KEY).read_bytes() == b"an image"
