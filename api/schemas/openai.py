"""The OpenAPI schema of OpenAI's images API: request, answer, errors."""

from typing import Any

from worker.upstream.chosen import PROVIDER
from worker.upstream.forms import NO_CONTROL, NO_NUL
from worker.upstream.numbers import whole_pattern

RANGES = PROVIDER.vocabulary.ranges
MOST_CHARACTERS = PROVIDER.vocabulary.prompt_characters
MOST_IMAGES = RANGES["samples"][1]
WIDTH, HEIGHT = (whole_pattern(*RANGES[side])[1:-1] for side in ("width", "height"))
REQUEST_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "ImagesRequest",
    "description": "Parameters without a counterpart here (quality, style, background and so on) are ignored.",
    "required": ["model", "prompt"],
    "maxProperties": 64,
    "properties": {
        "model": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": NO_CONTROL},
        "prompt": {
            "type": "string",
            "minLength": 1,
            "maxLength": MOST_CHARACTERS,
            "pattern": NO_NUL,
        },
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_IMAGES, "default": 1},
        "size": {
            "anyOf": [{"const": "auto"}, {"type": "string", "pattern": f"^{WIDTH}x{HEIGHT}$"}, {"type": "null"}],
            "default": "auto",
        },
        "response_format": {"enum": ["url", "b64_json", None], "default": "url"},
        "user": {"type": ["string", "null"], "maxLength": 256},
    },
}
ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["created", "data"],
    "properties": {
        "created": {"type": "integer"},
        "data": {
            "type": "array",
            "items": {"type": "object", "properties": {"url": {"type": "string"}, "b64_json": {"type": "string"}}},
        },
    },
}
ERROR_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
MEANINGS = {
    400: "A parameter is not usable",
    401: "A valid API key is missing",
    403: "The key may not do this",
    404: "There is no such thing",
    405: "This address does not take that method",
    413: "The body is too large",
    415: "The body's encoding is not taken",
    429: "Too many jobs or requests, or the budget is used up",
    502: "The generation failed",
    503: "Something that is needed does not answer",
    504: "It takes longer than this call waits; the job goes on",
    507: "There is no room to store more",
}


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


OPENAI_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _answer("The images", ANSWER_SCHEMA),
    **{status: _answer(meaning, ERROR_SCHEMA) for status, meaning in MEANINGS.items()},
}
