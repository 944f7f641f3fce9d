"""Do the scans of a JPEG contain everything that its frame declares? Reads only the headers of segments.

Every coefficient of every component must be complete to its last bit (a progressive image that ends after its first
scan is a valid file, but blurred), and every scan must have as many restarts as its blocks need.
"""

from dataclasses import dataclass, field

from worker.images.broken import BrokenImage
from worker.images.jpeg import FRAMES, PROGRESSIVE, START_OF_SCAN, Segment

COEFFICIENTS = 64
BLOCK = 8
RESTART_INTERVAL = 0xDD


@dataclass
class Frame:
    """What the frame's header declares (sizes in pixels), and what the scans have contained so far."""

    progressive: bool
    height: int
    width: int
    sampling: dict[int, tuple[int, int]]
    """By component: sampling factor across and down."""
    missing_bits: dict[int, list[int]] = field(init=False)
    """By component and coefficient: how many low bits are still missing (all 64 before its first scan)."""

    def __post_init__(self) -> None:
        self.missing_bits = {number: [COEFFICIENTS] * COEFFICIENTS for number in self.sampling}

    @property
    def whole(self) -> bool:
        return not any(any(bits) for bits in self.missing_bits.values())

    def note(self, numbers: bytes, first: int, last: int, low_bit: int) -> None:
        """Notes one scan: these components, coefficients first to last, down to this bit."""
        band = slice(first, min(last, COEFFICIENTS - 1) + 1) if self.progressive else slice(0, COEFFICIENTS)
        for number in numbers:
            bits = self.missing_bits[number]
            bits[band] = [low_bit if self.progressive else 0] * len(bits[band])

    def units(self, numbers: bytes) -> int:
        """The number of units that restarts count: blocks if a scan has one component, else groups of blocks."""
        most_across = max(across for across, _ in self.sampling.values())
        most_down = max(down for _, down in self.sampling.values())
        across, down = self.sampling[numbers[0]] if len(numbers) == 1 else (1, 1)
        return _units(self.width, across, most_across) * _units(self.height, down, most_down)


def check_scans(data: bytes, found: tuple[Segment, ...]) -> None:
    """Raises BrokenImage if something is missing. Does not check the data between two markers."""
    frame: Frame | None = None
    interval = 0
    for each in found:
        if each.marker in FRAMES:
            frame = _frame(data, each)
        elif each.marker == RESTART_INTERVAL:
            interval = int.from_bytes(data[each.start + 4 : each.start + 6], "big")
        elif each.marker == START_OF_SCAN and frame:
            _check_scan(data, each, frame, interval)
    if frame is None or not frame.whole:
        raise BrokenImage("is a JPEG without its last scans")


def _check_scan(data: bytes, scan: Segment, frame: Frame, interval: int) -> None:
    count = data[scan.start + 4]
    at = scan.start + 5 + 2 * count
    numbers = data[scan.start + 5 : at : 2]
    first, last, bits = data[at : at + 3]
    frame.note(numbers, first, last, bits & 15)
    if interval and scan.restarts < _rounded_up(frame.units(numbers), interval) - 1:
        raise BrokenImage("is a JPEG with a scan that is cut short")


def _frame(data: bytes, segment: Segment) -> Frame:
    at = segment.start + 5
    height, width = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
    heads = [data[each : each + 2] for each in range(at + 5, at + 5 + 3 * data[at + 4], 3)]
    sampling = {number: (factors >> 4, factors & 15) for number, factors in heads}
    return Frame(segment.marker in PROGRESSIVE, height, width, sampling)


def _units(size: int, factor: int, most: int) -> int:
    """A scan of one component covers that component's size; a scan of several covers the whole image."""
    return _rounded_up(_rounded_up(size * factor, most), BLOCK)


def _rounded_up(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
