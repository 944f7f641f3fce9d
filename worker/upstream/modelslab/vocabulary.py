"""The documented request as tables: texts that count as numbers, allowed values in words, adjustments."""

import re
from typing import Any, get_args, get_type_hints

from worker.upstream.forms import Flag
from worker.upstream.modelslab.attributes import (
    ALLOWED_STEPS,
    MAX_SEED,
    MOST_GUIDANCE,
    PROMPT_CHARACTERS,
    RANDOM_SEED,
    RANGES,
    AlgorithmType,
    Attributes,
    SafetyCheckerType,
    Scheduler,
)
from worker.upstream.numbers import decimal_pattern, whole_pattern
from worker.upstream.vocabulary import Vocabulary

NUMBER_PATTERNS = {name: whole_pattern(*limits) for name, limits in RANGES.items()}
NUMBER_PATTERNS["guidance_scale"] = decimal_pattern(MOST_GUIDANCE)
KINDS = get_type_hints(Attributes)
FLAGS = frozenset(name for name, kind in KINDS.items() if kind == Flag)
FREE_TEXT = frozenset(name for name, kind in KINDS.items() if kind is str)
ALLOWED = (
    {name: f"a whole number from {low} to {high}" for name, (low, high) in RANGES.items()}
    | {
        "model_id": "text of 1 to 255 characters",
        "prompt": f"text of 1 to {PROMPT_CHARACTERS} characters",
        "negative_prompt": f"text of up to {PROMPT_CHARACTERS} characters",
        "num_inference_steps": f"{', '.join(map(str, ALLOWED_STEPS))}; a lower number is raised to the next of them",
        "seed": f"a whole number from 0 to {MAX_SEED}, or null or -1 for a random one",
        "guidance_scale": f"a number from 0 to {MOST_GUIDANCE}",
        "safety_checker_type": ", ".join(get_args(SafetyCheckerType)),
        "algorithm_type": ", ".join(get_args(AlgorithmType)),
        "scheduler": ", ".join(get_args(Scheduler)),
        "vae": "text of up to 255 characters",
        "lora_model": "a comma list of names",
        "lora_strength": "numbers from 0.1 to 1 as a comma list",
    }
    | dict.fromkeys(FLAGS, '"yes", "no", true, false')
)


def drop_random_seed(given: dict[str, Any]) -> list[dict[str, Any]]:
    """-1 means "any seed": it counts as not given, and is listed in `adjustments`."""
    if given.get("seed") not in (RANDOM_SEED, str(RANDOM_SEED)):
        return []
    return [{"field": "seed", "from": given.pop("seed"), "to": None, "reason": "-1 means random"}]


def raise_steps(request: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
    """The page's example sends 20, but allowed are 21, 31 and 41: it is raised and listed, never refused."""
    steps = request.get("num_inference_steps")
    if steps is None or steps in ALLOWED_STEPS:
        return []
    raised = next(allowed for allowed in ALLOWED_STEPS if allowed > steps)
    request["num_inference_steps"] = raised
    reason = f"allowed: {', '.join(map(str, ALLOWED_STEPS))}"
    return [{"field": "num_inference_steps", "from": given["num_inference_steps"], "to": raised, "reason": reason}]


VOCABULARY = Vocabulary(
    attributes=Attributes,
    ranges=RANGES,
    number_texts={name: re.compile(pattern) for name, pattern in NUMBER_PATTERNS.items()},
    flags=FLAGS,
    free_text=FREE_TEXT,
    allowed=ALLOWED,
    prompt_characters=PROMPT_CHARACTERS,
    schedulers=get_args(Scheduler),
    adjust_given=drop_random_seed,
    adjust_checked=raise_steps,
)
