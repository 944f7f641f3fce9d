"""Every attribute of the documented request body, with the page's own words, limits and defaults.

Source: the provider's text-to-image page for enterprise servers, and where it says nothing, the related pages named in
tests/recordings. Attributes that are not given are not sent.
"""

from typing import Annotated, Any, Literal, Required

from pydantic import Field, with_config
from typing_extensions import TypedDict

from worker.upstream.forms import (
    NO_CONTROL,
    NO_NUL,
    STRICT,
    Flag,
    choice,
    flag,
    number,
    number_field,
    optional,
    or_empty,
    shown_as,
    text,
    text_forms,
)
from worker.upstream.numbers import whole_pattern

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
SafetyCheckerType = Literal["blur", "sensitive_content_text", "pixelate", "black"]
AlgorithmType = Literal["none", "dpmsolver+++"]

ALLOWED_STEPS = (21, 31, 41)
MAX_SEED = 2**32 - 1
RANDOM_SEED = -1
"""What clients of image APIs send for "any seed"."""
RANGES = {
    "width": (1, 1024),
    "height": (1, 1024),
    "samples": (1, 4),
    "num_inference_steps": (1, ALLOWED_STEPS[-1]),
    "seed": (0, MAX_SEED),
    "clip_skip": (1, 8),
}
"""The whole numbers, both ends included."""
MOST_GUIDANCE = 100
PROMPT_CHARACTERS = 10_000
STRENGTH = r"(0\.[1-9][0-9]{0,17}|1(\.0{1,17})?)"
STRENGTHS = rf"^{STRENGTH}(,{STRENGTH})*$"


def _seed(description: str) -> Any:
    """Accepts one number more than is sent on: -1, which means "not given"."""
    pattern = f"{RANDOM_SEED}|{whole_pattern(*RANGES['seed'])[1:-1]}"
    return number_field(description, *RANGES["seed"], pattern, least=RANDOM_SEED)


@with_config(STRICT)
class Attributes(TypedDict, total=False):
    """The page's body attributes, without `key`, `webhook` and `track_id`."""

    model_id: Required[
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=255,
                pattern=NO_CONTROL,
                description="The ID of the model to be used. It can be public or your trained model.",
                json_schema_extra=shown_as({"anyOf": text_forms(1, 255, NO_CONTROL)}),
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
                json_schema_extra=shown_as({"anyOf": text_forms(1, PROMPT_CHARACTERS, NO_NUL)}),
            ),
        ]
    ]
    negative_prompt: Annotated[str, text("Items you don’t want in the image.", PROMPT_CHARACTERS, NO_NUL)]
    width: Annotated[int, number("Width of the generated image. Maximum: 1024.", *RANGES["width"], 512)]
    height: Annotated[int, number("Height of the generated image. Maximum: 1024.", *RANGES["height"], 512)]
    samples: Annotated[int, number("Number of images to return. Maximum: 4.", *RANGES["samples"], 1)]
    num_inference_steps: Annotated[
        int,
        number(
            "Number of denoising steps. Allowed values: 21, 31, or 41; others are raised to the next.",
            *RANGES["num_inference_steps"],
            21,
        ),
    ]
    safety_checker: Annotated[
        Flag, flag("NSFW checker. If detected, replaces the image with blank. Default: yes.", "yes")
    ]
    safety_checker_type: Annotated[
        SafetyCheckerType,
        choice(
            SafetyCheckerType,
            "Action if NSFW content is detected. Default: sensitive_content_text.",
            "sensitive_content_text",
        ),
    ]
    enhance_prompt: Annotated[Flag, flag("Enhance prompts for better results. Default: yes.", "yes")]
    seed: Annotated[int, _seed("Seed for reproducibility. Pass null (or -1) for random generation.")]
    guidance_scale: Annotated[float, number("Scale for classifier-free guidance.", 0, MOST_GUIDANCE, 7.5, whole=False)]
    panorama: Annotated[Flag, flag("Generate a panorama image. Default: no.", "no")]
    self_attention: Annotated[
        Flag, flag("Enable self-attention for higher quality images (slower). Default: no.", "no")
    ]
    upscale: Annotated[Flag, flag("Upscale generated images 2×. Default: no.", "no")]
    tomesd: Annotated[Flag, flag("Enable ToMeSD for faster generation. Default: yes.", "yes")]
    use_karras_sigmas: Annotated[Flag, flag("Use Karras sigmas for improved results. Default: yes.", "yes")]
    algorithm_type: Annotated[
        AlgorithmType,
        choice(AlgorithmType, "Algorithm type used in DPMSolverMultistepScheduler. Default: none.", "none"),
    ]
    vae: Annotated[str, text("Custom VAE to use. Default: null.")]
    lora_strength: Annotated[
        str,
        Field(
            max_length=255,
            pattern=STRENGTHS,
            json_schema_extra=optional(
                "LoRa strength(s). Multiple values supported, comma-separated. Range: 0.1–1.",
                {"type": "string", "maxLength": 255, "pattern": or_empty(STRENGTHS)},
                {"type": "number", "minimum": 0.1, "maximum": 1},
            ),
        ),
    ]
    lora_model: Annotated[
        str,
        text(
            "LoRa model(s) to use. Multiple supported, comma-separated. Example: contrast-fix,yae-miko-genshin.", 1024
        ),
    ]
    scheduler: Annotated[Scheduler, choice(Scheduler, "Scheduler to use. See Schedulers.")]
    clip_skip: Annotated[int, number("Clip Skip value. Range: 1–8.", *RANGES["clip_skip"])]
    base64: Annotated[Flag, flag("Return response as base64 string. Default: no.", "no")]
    highres_fix: Annotated[Flag, flag("Apply high-resolution fix for generated images. Default: no.", "no")]
    temp: Annotated[Flag, flag("Generate a temporary image link valid for 24 hours. Default: no.", "no")]
