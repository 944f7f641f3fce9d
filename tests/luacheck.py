"""`make check`: luacheck over every script as Redis gets it, so that what it includes and its arguments are known.

A complaint names the line of the file. What an included file defines is unused only if no script uses it.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.scripts import every_script
from worker.store.assembly import Line
from worker.store.script import Script

FOUND = re.compile(r"^(?P<path>.+?):(?P<line>\d+):(?P<column>\d+): \((?P<code>[EW]\d+)\) (?P<words>.*)$")
UNUSED = ("W211", "W221", "W231", "W241")
LUA = Path("worker", "store", "lua")
LONGEST_LINE = 120
"""As it is written: luacheck sees replies written out."""

Complaint = tuple[Line, int, str, str]


def main() -> int:
    """Prints what is wrong; the exit code says whether something is."""
    if not shutil.which("luacheck"):
        print("luacheck is not installed (Debian: apt-get install lua-check): the Lua scripts were not checked.")
        return 0
    scripts = {each.name: each for each in every_script()}
    users = Counter(file for each in scripts.values() for file in {line.file for line in each.lines})
    complaints = Counter(_complaints(scripts))
    wrong = [
        f"{line.file}:{line.number}:{column}: {words} [{code}]  {'' if line.number else line.text.strip()}"
        for (line, column, code, words), scripts_with_it in sorted(complaints.items())
        if code not in UNUSED or scripts_with_it == users[line.file]
    ]
    wrong += _too_long()
    print(*wrong, f"luacheck: {len(scripts)} scripts, {len(wrong)} complaints", sep="\n")
    return bool(wrong)


def _complaints(scripts: Mapping[str, Script[..., object]]) -> Iterator[Complaint]:
    with tempfile.TemporaryDirectory(prefix="darkroom-luacheck-") as folder:
        for name, script in scripts.items():
            # the first line is Redis' own, no Lua
            Path(folder, f"{name}.lua").write_text("\n" + script.source.partition("\n")[2])
        command = ["luacheck", "--config", ".luacheckrc", "--formatter", "plain", "--codes", folder]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode > 2:
            raise SystemExit(told.stdout + told.stderr)
    for found in filter(None, map(FOUND.match, told.stdout.splitlines())):
        line = scripts[Path(found["path"]).stem].lines[int(found["line"]) - 1]
        yield line, int(found["column"]), found["code"], found["words"]


def _too_long() -> Iterator[str]:
    for file in sorted(LUA.rglob("*.lua")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if len(line) > LONGEST_LINE:
                yield f"{file.relative_to(LUA)}:{number}: longer than {LONGEST_LINE} characters"


if __name__ == "__main__":
    sys.exit(main())
