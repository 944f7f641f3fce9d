"""A Lua script as the lane runs it: put together from its parts, named by its SHA-1."""

from hashlib import sha1
from importlib.resources import files


class Script:
    """A Lua script with its preludes, known to Redis by its SHA-1.

    One that only brings new load is refused where Redis is out of memory; all others must go on, as what they record
    is paid for, and what frees memory is among them.
    """

    def __init__(self, *names: str, new_load: bool = False) -> None:
        flags = "allow-cross-slot-keys" if new_load else "allow-oom,allow-cross-slot-keys"
        parts = (files("worker").joinpath("store", "lua", f"{name}.lua").read_text() for name in names)
        self.source = "\n".join((f"#!lua flags={flags}", *parts))
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()
