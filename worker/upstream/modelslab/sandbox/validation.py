"""Validation in the provider's words, written from its documentation, not from our own schema."""

from typing import Any

SCHEDULERS = tuple(
    f"{name}Scheduler"
    for name in [
        "DDPM",
        "DDIM",
        "PNDM",
        "LMSDiscrete",
        "EulerDiscrete",
        "EulerAncestralDiscrete",
        "DPMSolverMultistep",
        "HeunDiscrete",
        "KDPM2Discrete",
        "DPMSolverSinglestep",
        "KDPM2AncestralDiscrete",
        "UniPCMultistep",
        "DDIMInverse",
        "DEISMultistep",
        "IPNDM",
        "KarrasVe",
        "ScoreSdeVe",
        "LCM",
    ]
)
RANGES = {
    "width": (1, 1024),
    "height": (1, 1024),
    "samples": (1, 4),
    "clip_skip": (1, 8),
    "num_inference_steps": (1, 50),
    "guidance_scale": (0, 100),
    "seed": (0, 2**32 - 1),
}
WHOLE = frozenset(RANGES) - {"guidance_scale"}


def first_error(content: dict[str, Any]) -> object:
    """The message about the first error: text, or a list per field. None if nothing is wrong."""
    for name in ("prompt", "model_id"):
        if not isinstance(content.get(name), str) or not content[name]:
            return {name: [f"The {name.replace('_', ' ')} field is required."]}
    for name, (low, high) in RANGES.items():
        value = content.get(name)
        if value not in (None, "") and not _within(value, low, high, whole=name in WHOLE):
            return f"{name} must be between {low} and {high}"
    if content.get("scheduler") not in (None, "", *SCHEDULERS):
        return "scheduler is not valid"
    return None


def _within(value: object, low: int, high: int, *, whole: bool) -> bool:
    text = str(value)
    if whole and not (text.isascii() and text.isdigit()):
        return False
    try:
        return low <= float(text) <= high
    except ValueError:
        return False
