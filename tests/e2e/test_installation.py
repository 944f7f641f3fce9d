"""Who has half of an installation, or halves of two, is stopped before it does harm: real processes, real verbs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Done
from tests.support.processes import Installation, until


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for this file."""
    with Installation(tmp_path_factory.mktemp("installation")) as installation:
        yield installation


def elsewhere(here: Installation, folder: Path, *words: str) -> Done:
    """A verb in a shell with another image store."""
    own, here.settings["DARKROOM_IMAGES_URL"] = here.settings["DARKROOM_IMAGES_URL"], f"file://{folder}"
    try:
        return here.run(*words)
    finally:
        here.settings["DARKROOM_IMAGES_URL"] = own


def test_a_purge_without_the_right_image_store_removes_nothing(here: Installation, tmp_path: Path) -> None:
    """And says so; with the right one it counts what it removed."""
    job = here.reaches(here.post("a pier")["id"], "succeeded")
    words = ("bulk", "purge", "--tenant", "acme", "--yes")
    refused = elsewhere(here, tmp_path / "empty", *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("darkroom: nothing was removed: the image store of DARKROOM_IMAGES_URL")
    assert here.job(job["id"])["status"] == "succeeded"
    done = here.run(*words)
    assert (done.returncode, done.stdout) == (0, "1 jobs removed, 2 files with them\n")
    assert not [each for each in (here.folder / "images/acme").rglob("*") if each.is_file()]


def test_an_audit_without_the_right_image_store_reports_nothing(here: Installation, tmp_path: Path) -> None:
    """No image is called lost, and the system's own metrics stay as they are."""
    here.reaches(here.post("a quay")["id"], "succeeded")
    refused = elsewhere(here, tmp_path / "empty", "audit")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "nothing was looked at" in refused.stderr
    assert "darkroom_audit_findings 0.0" in here.client.get("/metrics").text


def test_a_process_with_another_installations_store_stops(here: Installation, tmp_path: Path) -> None:
    """With one sentence and the code of a wrong setting. So does one whose store has none of the images."""
    here.reaches(here.post("a dock")["id"], "succeeded")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "installation.json").write_text('{"id": "0123456789abcdef"}')
    for folder, words in (("other", "DARKROOM_IMAGES_URL is 01234567"), ("empty", "is not known to be")):
        for module in ("api", "worker"):
            name = f"{module}-{folder}"
            process = here.start(module, name=name, images_url=f"file://{tmp_path / folder}", port="1")
            assert process.wait(40) == 2
            assert words in here.log(name)
    shown = here.run("installation")
    assert shown.returncode == 0
    assert len({line.split()[-1] for line in shown.stdout.splitlines()}) == 1


def test_an_empty_store_is_taken_by_the_operators_word(here: Installation, tmp_path: Path) -> None:
    """The disk is lost, and everybody knows it."""
    here.reaches(here.post("a mole")["id"], "succeeded")
    assert elsewhere(here, tmp_path / "new", "installation").returncode == 1
    assert elsewhere(here, tmp_path / "new", "installation", "--adopt").returncode == 0
    process = here.start("worker", name="adopted", images_url=f"file://{tmp_path / 'new'}")
    until(lambda: (facts := here.ready()) and facts["workers"] >= 7, what="a second worker")
    assert process.poll() is None
