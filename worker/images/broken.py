"""Why an image is refused: one exception for all of its checks. No I/O."""


class BrokenImage(Exception):
    """Not a complete PNG, JPEG or WebP of one frame within the limits. The text says why, not what it shows."""


class DeadlyImage(BrokenImage):
    """The decoder died or hung on it. Three of them park the image (worker/job/parking.py)."""
