"""What the sandbox refuses, in the provider's words. Written from its documentation, not from our own schema."""

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
RANGES = {"width": (1, 1024), "height": (1, 1024), "samples": (1, 4), "clip_skip": (1, 8)}


def first_error(content: dict[str, Any]) -> object:
    """The message of the first thing that is wrong, text or a list per field; None where nothing is."""
    for name in ("prompt", "model_id"):
        if not content.get(name):
            return {name: [f"The {name.replace('_', ' ')} field is required."]}
    for name, (low, high) in RANGES.items():
        value = content.get(name)
        if value not in (None, "") and not _within(value, low, high):
            return f"{name} must be between {low} and {high}"
    if content.get("scheduler") not in (None, "", *SCHEDULERS):
        return "scheduler is not valid"
    return None


def _within(value: object, low: int, high: int) -> bool:
    text = str(value)
    return text.isdigit() and low <= int(text[:9]) <= high
