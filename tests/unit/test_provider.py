"""The seam to the provider: its words stay in its folder, what it cannot do is said, asking it loads no HTTP client."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from config.settings import Settings
from worker.job.timing import LATE_SECONDS
from worker.upstream.chosen import PROVIDER
from worker.upstream.provider import WITHOUT, Capabilities, missing

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "architecture.md"
NAMES = [each.name for each in fields(Capabilities)]
HOME = "worker/upstream/modelslab/"
WIRE = (
    "modelslab|text2img|messege|fetch_result|future_links|image_links|proxy_links|nsfw_content_detected|system_details|"
    "schedulers_list|generationTime"
)
EVERYBODYS = {"base64", "height", "prompt", "seed", "temp", "width"}
ATTRIBUTES = "|".join(sorted(PROVIDER.vocabulary.attributes.__annotations__.keys() - EVERYBODYS))
WORDS = re.compile(rf"{WIRE}|[\"']({ATTRIBUTES})[\"']", re.IGNORECASE)
DIALECT = "a public shape of ours, in the provider's words on purpose"
CALLER = "a caller of our own API, whose request fields are the provider's"
TRANSLATES = "turns OpenAI's words into attributes of a request"
SPEAK_THEM = {
    "worker/upstream/chosen.py": "names the provider",
    "worker/upstream/chosen_sandbox.py": "names the provider's sandbox",
    "worker/shown/compatible.py": DIALECT,
    "api/endpoints/compatible.py": DIALECT,
    "api/http/dialects.py": DIALECT,
    "api/schemas/openai.py": TRANSLATES,
    "api/endpoints/openai.py": TRANSLATES,
    "api/cli/caller/submit.py": CALLER,
    "api/cli/caller/rendering.py": CALLER,
    "api/cli/stack/up.py": CALLER,
    "config/addresses.py": "the default hosts of images",
    "config/settings.py": "the defaults of the upstream's settings, shown in the documents",
    "worker/job/cost.py": "records in Redis count images by this word",
}


def speaking(folder: str) -> list[str]:
    """`file:line` of every provider's word in a folder of the source, but for those that may have them."""
    files = [each for each in (ROOT / folder).rglob("*") if each.suffix in (".py", ".lua")]
    names = {each: each.relative_to(ROOT).as_posix() for each in files}
    return [
        f"{name}:{number} {line.strip()}"
        for file, name in names.items()
        if not name.startswith(HOME) and name not in SPEAK_THEM
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if WORDS.search(line)
    ]


@pytest.mark.parametrize("folder", ["worker", "api", "config"])
def test_only_the_providers_folder_knows_its_words(folder: str) -> None:
    """Whoever needs one asks PROVIDER, or has a place in SPEAK_THEM with a reason."""
    assert speaking(folder) == []


@pytest.mark.parametrize("name", sorted(SPEAK_THEM))
def test_who_may_speak_them_does(name: str) -> None:
    """An exception that nobody needs goes, and a file that has moved takes its own along."""
    assert WORDS.search((ROOT / name).read_text())


def test_every_lack_of_the_provider_has_a_sentence() -> None:
    """A capability that nobody knows the price of is none."""
    assert list(WITHOUT) == NAMES
    assert missing(Capabilities(*[False] * len(NAMES))) == list(WITHOUT.values())
    assert missing(Capabilities(*[True] * len(NAMES))) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_page_says_what_follows_where_the_provider_cannot(name: str) -> None:
    """In the doctor's own words."""
    assert f"| `{name}` | {WITHOUT[name]} | " in PAGE.read_text()


def test_a_late_result_is_looked_for_as_long_as_the_provider_keeps_it() -> None:
    """Longer is in vain, shorter gives up what was paid for."""
    assert PROVIDER.results_live_seconds == LATE_SECONDS


def test_the_default_upstream_is_the_provider() -> None:
    """And no sandbox."""
    address = Settings(_env_file=None).upstream_url
    assert PROVIDER.is_at(address)
    assert address.endswith(PROVIDER.base_path)
    assert not PROVIDER.is_at(f"http://127.0.0.1:8001{PROVIDER.base_path}")


def test_asking_the_provider_loads_no_http_client() -> None:
    """The door imports its request vocabulary and reads its callbacks."""
    script = "import sys, worker.upstream.chosen; print(*{'httpx', 'aiohttp', 'redis', 'celery'} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []
