"""Every Lua script that Python calls."""

from importlib import import_module
from pkgutil import walk_packages

import worker
from worker.store.script import Script


def every_script() -> list[Script[..., object]]:
    """By name; all of the engine is imported for it, and nothing of it started."""
    names = [each.name for each in walk_packages(worker.__path__, "worker.") if not each.name.endswith("__main__")]
    values = [value for name in names for value in vars(import_module(name)).values()]
    return sorted({each for each in values if isinstance(each, Script)}, key=lambda each: each.name)
