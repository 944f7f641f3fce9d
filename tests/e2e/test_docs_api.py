"""Every example of docs/api.md, run as it stands there, against real processes; what it says is answered is."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from api.cli.stack.redis_server import free_port
from tests.support.processes import KEY, Installation, until

PAGE = Path("docs/api.md")
BLOCK = re.compile(r"^```(\w*)( \w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = "===== block ====="
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Block(NamedTuple):
    """One fenced block: its language, its role, its text, and what the page says it is answered, if it says so."""

    language: str
    role: str
    text: str
    answer: str


def blocks() -> list[Block]:
    """The page's code, each with the answer that follows it."""
    found = [(match[1], (match[2] or "").strip(), match[3]) for match in BLOCK.finditer(PAGE.read_text())]
    following = [*found[1:], ("", "", "")]
    return [
        Block(language, role, text, after[2] if after[0] in ("json", "") else "")
        for (language, role, text), after in zip(found, following, strict=True)
        if language in ("sh", "python")
    ]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One installation for the whole page."""
    with Installation(tmp_path_factory.mktemp("installation"), webhook_secret=SECRET) as installation:
        yield installation


def environment(here: Installation, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | here.settings | {"DARKROOM": str(here.client.base_url), "KEY": KEY, "PATH": path} | more


def test_every_shell_example_runs_and_is_answered_as_it_says(here: Installation, tmp_path: Path) -> None:
    """In one shell, in the order of the page: each JSON that is shown is part of what came."""
    shown = [block for block in blocks() if block.language == "sh"]
    script = "set -euo pipefail\n" + "".join(f"{block.text}\necho; echo '{MARK}'\n" for block in shown)
    done = subprocess.run(
        ["bash", "-c", script], env=environment(here), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr + done.stdout
    outputs = done.stdout.split(MARK)
    assert len(outputs) == len(shown) + 1
    compared = 0
    for block, output in zip(shown, outputs, strict=False):
        if block.answer.startswith("{"):
            check_part(json.loads(block.answer), json.loads(output), block.text)
            compared += 1
        elif block.answer.startswith("id: "):
            assert re.findall(r"^event: (\w+)$", output, re.MULTILINE)[0] == "queued"
            assert output.lstrip().startswith("id: 1\nevent: queued\ndata: {")
        elif block.answer:
            assert output.strip() == block.answer.strip()
    assert compared >= 8
    assert (tmp_path / "image.png").read_bytes().startswith(b"\x89PNG")


def check_part(shown: Any, came: Any, where: str) -> None:
    """Words and flags of the page as they are; ids, addresses and numbers by their kind."""
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert name in came, f"{name} is missing after {where}: {came}"
            check_part(value, came[name], where)
    elif isinstance(shown, list):
        for one, other in zip(shown, came, strict=False):
            check_part(one, other, where)
        assert len(came) >= len(shown), where
    elif isinstance(shown, str) and not re.search(r"[0-9…]", shown):
        assert came == shown, where
    elif isinstance(shown, bool) or shown is None:
        assert came is shown, where
    else:
        assert isinstance(came, type(shown)) or isinstance(shown, int | float), where


@pytest.mark.parametrize("block", [each for each in blocks() if each.language == "python" and not each.role])
def test_every_python_example_runs(here: Installation, block: Block) -> None:
    """As a program of its own."""
    done = subprocess.run(
        [sys.executable, "-c", block.text], env=environment(here), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "http" in done.stdout


def test_the_receiver_of_the_page_verifies_what_it_is_told(here: Installation, tmp_path: Path) -> None:
    """With the installation's own secret."""
    (receiver,) = (block for block in blocks() if block.role == "receiver")
    port, said = free_port(), tmp_path / "said"
    with said.open("wb") as out:
        command = [sys.executable, "-c", receiver.text]
        process = subprocess.Popen(
            command, env=environment(here, PORT=str(port), WEBHOOK_SECRET=SECRET), stdout=out, stderr=out
        )
    try:
        job = here.post("told by the page", webhook=f"http://127.0.0.1:{port}/told")
        until(lambda: f"{job['id']} succeeded" in said.read_text(), what="being told")
    finally:
        process.kill()
        process.wait()
