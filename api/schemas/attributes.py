"""Every body attribute of the documented request, with the page's own words, limits and defaults.

Source: the provider's text-to-image page for enterprise servers, and where it is silent the sibling pages named in
tests/recordings. Numbers may come as strings, flags as booleans (request.py); what is not given is not sent.
"""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, Required, get_args

from pydantic import Field
from typing_extensions import TypedDict

from api.schemas.numbers import decimal_pattern, whole_pattern
from worker.job.record import OnUnknown

Scheduler = Literal[
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "DPMSolverSinglestepScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "UniPCMultistepScheduler",
    "DDIMInverseScheduler",
    "DEISMultistepScheduler",
    "IPNDMScheduler",
    "KarrasVeScheduler",
    "ScoreSdeVeScheduler",
    "LCMScheduler",
]
Flag = Literal["yes", "no"]
SafetyCheckerType = Literal["blur", "sensitive_content_text", "pixelate", "black"]
AlgorithmType = Literal["none", "dpmsolver+++"]
DeadlinePolicy = Literal["accept", "refuse"]

MOST_NUMBER = 9 * 10**18
"""Fits 64 bits, and is the same number for readers of JSON that know only doubles."""
Boolean = Annotated[bool, Field(strict=True)]
Integer = Annotated[int, Field(strict=True, ge=-MOST_NUMBER, le=MOST_NUMBER)]
Real = Annotated[float, Field(strict=True, ge=-MOST_NUMBER, le=MOST_NUMBER, allow_inf_nan=False)]

NO_CONTROL = r"^[^\x00-\x1f\x7f]*$"
NO_NUL = r"^[^\x00]*$"
PROMPT_CHARACTERS = 10_000
STRENGTH = r"(0\.[1-9][0-9]{0,17}|1(\.0{1,17})?)"
STRENGTHS = rf"^{STRENGTH}(,{STRENGTH})*$"
LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
WEB_ADDRESS = rf"^https?://({LABEL}\.){{0,20}}{LABEL}(:{PORT})?([/?#][!-\[\]-~]*)?$"
"""Of names and IPv4 addresses, in ASCII: every address of this form can be asked, if it is on the public internet."""
MAX_SEED = 2**32 - 1
RANDOM_SEED = -1
"""What clients of this field send for "any"."""


def _shown_as(schema: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Puts what is accepted into the documentation in place of the narrower type that it is turned into."""

    def replace(shown: dict[str, Any]) -> None:
        kept = {name: shown[name] for name in ("title", "description") if name in shown}
        shown.clear()
        shown.update(kept | schema)

    return replace


def _number(description: str, low: int, high: int, default: float | None = None, *, whole: bool = True) -> Any:
    pattern = whole_pattern(low, high) if whole else decimal_pattern(high)
    return _number_field(description, low, high, pattern, default, whole=whole)


def _seed(description: str) -> Any:
    """What is taken has one number more than what is sent on: -1, which means none."""
    return _number_field(
        description, 0, MAX_SEED, f"{RANDOM_SEED}|{whole_pattern(0, MAX_SEED)[1:-1]}", least=RANDOM_SEED
    )


def _number_field(
    description: str,
    low: int,
    high: int,
    pattern: str,
    default: float | None = None,
    *,
    whole: bool = True,
    least: int | None = None,
) -> Any:
    forms = [
        {"type": "integer" if whole else "number", "minimum": low if least is None else least, "maximum": high},
        {"type": "string", "pattern": _or_empty(pattern), "description": "The number as text"},
        {"type": "null"},
    ]
    schema = {"description": description, "anyOf": forms} | ({} if default is None else {"default": default})
    return Field(ge=low, le=high, allow_inf_nan=False, json_schema_extra=_shown_as(schema))


def _optional(description: str, *forms: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """One of these forms, or what stands for "not given"."""
    return _shown_as({"description": description, "anyOf": [*forms, {"type": "null"}]})


def _or_empty(pattern: str) -> str:
    """The pattern, or an empty text: one form for both, as readers of a schema take each form by itself."""
    return f"^({pattern.removeprefix('^').removesuffix('$')})?$"


def _flag(description: str, default: str) -> Any:
    forms = [{"type": "string", "enum": ["yes", "no", ""]}, {"type": "boolean"}, {"type": "null"}]
    schema = {"description": description, "anyOf": forms, "default": default}
    return Field(json_schema_extra=_shown_as(schema))


def _text_forms(least: int, most: int, pattern: str) -> list[dict[str, Any]]:
    """Text, a number that is turned into it, and what stands for "not given" where nothing has to be."""
    text = {"type": "string", "minLength": least, "maxLength": most, "pattern": pattern}
    numbers = [{"type": kind, "minimum": -MOST_NUMBER, "maximum": MOST_NUMBER} for kind in ("integer", "number")]
    return [text, *numbers, *([] if least else [{"type": "null"}])]


def _text(description: str, most: int = 255, pattern: str = NO_CONTROL) -> Any:
    schema = {"description": description, "anyOf": _text_forms(0, most, pattern)}
    return Field(max_length=most, pattern=pattern, json_schema_extra=_shown_as(schema))


def _choice(options: Any, description: str, default: str | None = None) -> Any:
    schema = {"description": description, "enum": [*get_args(options), None, ""]}
    return Field(json_schema_extra=_shown_as(schema | ({"default": default} if default else {})))


class Attributes(TypedDict, total=False):
    """The page's body attributes, less `key`, `webhook` and `track_id`."""

    model_id: Required[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=255,
                pattern=NO_CONTROL,
                description="The ID of the model to be used. It can be public or your trained model.",
                json_schema_extra=_shown_as({"anyOf": _text_forms(1, 255, NO_CONTROL)}),
            ),
        ]
    ]
    prompt: Required[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=PROMPT_CHARACTERS,
                pattern=NO_NUL,
                description="Text prompt describing the image you want to generate.",
                json_schema_extra=_shown_as({"anyOf": _text_forms(1, PROMPT_CHARACTERS, NO_NUL)}),
            ),
        ]
    ]
    negative_prompt: Annotated[str, _text("Items you don’t want in the image.", PROMPT_CHARACTERS, NO_NUL)]
    width: Annotated[int, _number("Width of the generated image. Maximum: 1024.", 1, 1024, 512)]
    height: Annotated[int, _number("Height of the generated image. Maximum: 1024.", 1, 1024, 512)]
    samples: Annotated[int, _number("Number of images to return. Maximum: 4.", 1, 4, 1)]
    num_inference_steps: Annotated[
        int,
        _number("Number of denoising steps. Allowed values: 21, 31, or 41; others are raised to the next.", 1, 41, 21),
    ]
    safety_checker: Annotated[
        Flag, _flag("NSFW checker. If detected, replaces the image with blank. Default: yes.", "yes")
    ]
    safety_checker_type: Annotated[
        SafetyCheckerType,
        _choice(
            SafetyCheckerType,
            "Action if NSFW content is detected. Default: sensitive_content_text.",
            "sensitive_content_text",
        ),
    ]
    enhance_prompt: Annotated[Flag, _flag("Enhance prompts for better results. Default: yes.", "yes")]
    seed: Annotated[int, _seed("Seed for reproducibility. Pass null (or -1) for random generation.")]
    guidance_scale: Annotated[float, _number("Scale for classifier-free guidance.", 0, 100, 7.5, whole=False)]
    panorama: Annotated[Flag, _flag("Generate a panorama image. Default: no.", "no")]
    self_attention: Annotated[
        Flag, _flag("Enable self-attention for higher quality images (slower). Default: no.", "no")
    ]
    upscale: Annotated[Flag, _flag("Upscale generated images 2×. Default: no.", "no")]
    tomesd: Annotated[Flag, _flag("Enable ToMeSD for faster generation. Default: yes.", "yes")]
    use_karras_sigmas: Annotated[Flag, _flag("Use Karras sigmas for improved results. Default: yes.", "yes")]
    algorithm_type: Annotated[
        AlgorithmType,
        _choice(AlgorithmType, "Algorithm type used in DPMSolverMultistepScheduler. Default: none.", "none"),
    ]
    vae: Annotated[str, _text("Custom VAE to use. Default: null.")]
    lora_strength: Annotated[
        str,
        Field(
            max_length=255,
            pattern=STRENGTHS,
            json_schema_extra=_optional(
                "LoRa strength(s). Multiple values supported, comma-separated. Range: 0.1–1.",
                {"type": "string", "maxLength": 255, "pattern": _or_empty(STRENGTHS)},
                {"type": "number", "minimum": 0.1, "maximum": 1},
            ),
        ),
    ]
    lora_model: Annotated[
        str,
        _text(
            "LoRa model(s) to use. Multiple supported, comma-separated. Example: contrast-fix,yae-miko-genshin.", 1024
        ),
    ]
    scheduler: Annotated[Scheduler, _choice(Scheduler, "Scheduler to use. See Schedulers.")]
    clip_skip: Annotated[int, _number("Clip Skip value. Range: 1–8.", 1, 8)]
    base64: Annotated[Flag, _flag("Return response as base64 string. Default: no.", "no")]
    highres_fix: Annotated[Flag, _flag("Apply high-resolution fix for generated images. Default: no.", "no")]
    temp: Annotated[Flag, _flag("Generate a temporary image link valid for 24 hours. Default: no.", "no")]


class Own(TypedDict, total=False):
    """What a request says to Darkroom itself; `webhook` and `track_id` are the caller's own."""

    webhook: Annotated[
        str,
        Field(
            max_length=2048,
            pattern=WEB_ADDRESS,
            json_schema_extra=_optional(
                "URL to receive a POST callback once image generation is complete: public, on port 80 or 443.",
                {"type": "string", "maxLength": 2048, "pattern": _or_empty(WEB_ADDRESS)},
            ),
        ),
    ]
    track_id: Annotated[str, _text("ID returned in webhook callback to identify the request.")]
    deadline_seconds: Annotated[int, _number("The job ends by then, whatever happens.", 1, 2_592_000, 3600)]
    priority: Annotated[int, _number("0 to 9; a higher one goes first.", 0, 9, 5)]
    on_unknown: Annotated[
        OnUnknown,
        _choice(
            OnUnknown,
            "What to do when nobody knows whether the upstream took the request. `resubmit` may buy twice.",
            "hold",
        ),
    ]
    deadline_policy: Annotated[
        DeadlinePolicy,
        _choice(
            DeadlinePolicy,
            "`refuse` answers 429 with the predicted wait where the job is not expected to end before its deadline.",
            "accept",
        ),
    ]
    metadata: Annotated[
        dict[
            Annotated[str, Field(min_length=1, max_length=64, pattern=NO_CONTROL)],
            Annotated[str, Field(max_length=256)] | Boolean | Integer | Real,
        ],
        Field(
            max_length=16,
            json_schema_extra=_optional(
                "A small flat map of your own, kept and shown with the job.",
                {
                    "type": "object",
                    "maxProperties": 16,
                    "propertyNames": {"minLength": 1, "maxLength": 64, "pattern": NO_CONTROL},
                    "additionalProperties": {
                        "anyOf": [
                            {"type": "string", "maxLength": 256},
                            {"type": "boolean"},
                            {"type": "number", "minimum": -MOST_NUMBER, "maximum": MOST_NUMBER},
                        ]
                    },
                },
                {"const": ""},
            ),
        ),
    ]


NUMBER_TEXTS = {
    name: re.compile(pattern)
    for name, pattern in {
        "width": whole_pattern(1, 1024),
        "height": whole_pattern(1, 1024),
        "samples": whole_pattern(1, 4),
        "num_inference_steps": whole_pattern(1, 41),
        "seed": whole_pattern(0, MAX_SEED),
        "guidance_scale": decimal_pattern(100),
        "clip_skip": whole_pattern(1, 8),
        "deadline_seconds": whole_pattern(1, 2_592_000),
        "priority": whole_pattern(0, 9),
    }.items()
}
"""Which texts are taken for a number: what else Python would read as one (`1_0`, ` 5`, `5.0`) is refused."""
NUMBERS = frozenset(NUMBER_TEXTS)
FLAGS = frozenset(
    [
        "safety_checker",
        "enhance_prompt",
        "panorama",
        "self_attention",
        "upscale",
        "tomesd",
        "use_karras_sigmas",
        "base64",
        "highres_fix",
        "temp",
    ]
)
FREE_TEXT = frozenset(
    [
        "prompt",
        "negative_prompt",
        "model_id",
        "vae",
        "lora_model",
        "lora_strength",
        "webhook",
        "track_id",
        "metadata",
        "key",
    ]
)
ALLOWED = {
    "model_id": "text of 1 to 255 characters",
    "prompt": f"text of 1 to {PROMPT_CHARACTERS} characters",
    "negative_prompt": f"text of up to {PROMPT_CHARACTERS} characters",
    "width": "a whole number from 1 to 1024",
    "height": "a whole number from 1 to 1024",
    "samples": "a whole number from 1 to 4",
    "num_inference_steps": "21, 31, 41; a lower number is raised to the next of them",
    "seed": f"a whole number from 0 to {MAX_SEED}, or null or -1 for a random one",
    "guidance_scale": "a number from 0 to 100",
    "clip_skip": "a whole number from 1 to 8",
    "safety_checker_type": "blur, sensitive_content_text, pixelate, black",
    "algorithm_type": "none, dpmsolver+++",
    "scheduler": ", ".join(get_args(Scheduler)),
    "vae": "text of up to 255 characters",
    "lora_model": "a comma list of names",
    "lora_strength": "numbers from 0.1 to 1 as a comma list",
    "webhook": "an http(s) address of up to 2048 characters",
    "track_id": "text of up to 255 characters, or a whole number",
    "deadline_seconds": "a whole number from 1 to 2592000",
    "priority": "a whole number from 0 to 9",
    "on_unknown": "hold, resubmit, fail",
    "deadline_policy": "accept, refuse",
    "metadata": "a flat map of up to 16 keys (64 characters) to text (256 characters), numbers or booleans",
} | dict.fromkeys(FLAGS, '"yes", "no", true, false')
