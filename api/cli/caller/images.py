"""`darkroom images`: downloads a job's images; each gets its name only after its SHA-256 was verified."""

import argparse
import hashlib
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import Progress, TaskID

from api.cli.caller.connection import Api, Exit, Row, add_connection_options, plain, print_json, refused, with_api
from api.cli.caller.following import exit_of_job
from api.cli.caller.progress import download_bars
from api.cli.caller.rendering import job_path

EXTENSIONS = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
TRIES = 3


@dataclass(frozen=True)
class Saved:
    """An image that is in the folder."""

    index: int
    path: str
    sha256: str
    bytes: int
    already_there: bool


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which job, and where to."""
    parser.add_argument("job", help="its id")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="the folder (default: this one)")
    parser.add_argument("--force", action="store_true", help="overwrite files that hold something else")
    add_connection_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Downloads all images of a job that has succeeded, and prints where they are."""
    return with_api(arguments, lambda api: _download(api, arguments))


def _download(api: Api, arguments: argparse.Namespace) -> int:
    job: Row = api.call("GET", job_path(arguments.job))
    if ended := exit_of_job(job):
        raise refused(f"the job is {job['status']}: {plain(job['explain'])}", ended, job["status"])
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
        with download_bars() as progress:
            for image in job["images"]:
                task = progress.add_task(f"image {image['index']}", total=image["bytes"])
                saved = _save(api, job["id"], image, arguments, progress, task)
                print_json(asdict(saved)) if arguments.json else print(saved.path, flush=True)
    except OSError as error:
        raise refused(f"{error.filename or arguments.out} cannot be written ({error.strerror}).") from error
    return Exit.OK


def _save(api: Api, job_id: str, image: Row, arguments: argparse.Namespace, progress: Progress, task: TaskID) -> Saved:
    name = f"{job_id}-{image['index']}.{EXTENSIONS.get(image['format'], 'bin')}"
    target: Path = arguments.out / name
    if target.exists():
        with target.open("rb") as file:
            is_the_same = hashlib.file_digest(file, "sha256").hexdigest() == image["sha256"]
        if is_the_same:
            return Saved(image["index"], str(target), image["sha256"], image["bytes"], already_there=True)
        if not arguments.force:
            raise refused(f"{target} is there and holds something else: --force overwrites it.")
    with tempfile.NamedTemporaryFile(dir=arguments.out, prefix=f".{name}.", delete=False) as part:
        try:
            _fetch(api, f"{job_path(job_id)}/images/{image['index']}", image, part, progress, task)
            _name(Path(part.name), target, force=arguments.force)
        finally:
            Path(part.name).unlink(missing_ok=True)
    return Saved(image["index"], str(target), image["sha256"], image["bytes"], already_there=False)


def _fetch(api: Api, path: str, image: Row, part: "tempfile._TemporaryFileWrapper[bytes]", progress: Progress,
           task: TaskID) -> None:  # fmt: skip
    """Downloads an image and verifies its SHA-256. Retries if the connection breaks or the hash differs."""
    for left in reversed(range(TRIES)):
        part.seek(0)
        part.truncate()
        progress.reset(task)
        digest = hashlib.sha256()
        with api.stream(path) as answer:
            for chunk in answer.iter_bytes():
                digest.update(chunk)
                part.write(chunk)
                progress.advance(task, len(chunk))
        if digest.hexdigest() == image["sha256"]:
            part.flush()
            os.fsync(part.fileno())
            return
        if not left:
            raise refused("the image's bytes are not those that the job names.", Exit.AWAY, "wrong_bytes")


def _name(part: Path, target: Path, *, force: bool) -> None:
    """Renames the complete file, without overwriting a file that appeared meanwhile."""
    part.chmod(0o666 & ~_umask())
    if force:
        part.replace(target)
        return
    try:
        target.hardlink_to(part)
    except FileExistsError:
        raise refused(f"{target} is there meanwhile: --force overwrites it.") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
