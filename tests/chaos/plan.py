"""What callers ask for: each job with an image of its own, many with a fault in their prompt. Pure."""

import random
from dataclasses import dataclass
from typing import Any

MIXED = {
    "": 30, "[[no-callback]]": 6, "[[late=2]]": 3, "[[callback=2]]": 4, "[[callback-first]]": 4, "[[contradict]]": 3,
    "[[contradict=first]]": 2, "[[forged]]": 3, "[[accept-then-drop]]": 4, "[[garbled]]": 2, "[[http=503]]": 1,
    "[[http=503]] [[taken]]": 2, "[[http=400]] [[taken]]": 1, "[[busy=1]]": 3, "[[busy-silent=1]]": 1,
    "[[image-404=2]]": 3, "[[image-truncated=1]]": 2, "[[image-html]]": 1, "[[slow-drip=6]]": 3,
    "[[fail=out of paint]]": 2, "[[reject=no such thing]]": 2, "[[sync]]": 3, "[[base64]]": 1,
    "[[inline-and-links]]": 2,
    "[[no-id]]": 1, "[[no-output]]": 2, "[[no-callback-id]]": 1, "[[in-between]]": 1, "[[eta=7200]]": 1,
    "[[eta=7200]] [[no-callback]]": 1, "[[accept-then-drop]] [[no-callback]]": 1, "[[answer-delay=2]]": 2,
    "[[gateway=302]]": 1, "[[gateway=403]]": 1, "[[gateway=404]]": 1, "[[gateway=429]]": 1, "[[gateway=502]]": 1,
    "[[gateway=401]] [[once]]": 1, "[[gateway=200]]": 1, "[[edge=521]] [[once]]": 1, "[[fetch-gateway=502]]": 1,
    "[[foreign-id=fetch]] [[no-callback]]": 1, "[[foreign-track=fetch]] [[no-callback]]": 1,
    "[[foreign-id=callback]]": 1, "[[foreign-track=callback]]": 1,
}  # fmt: skip
"""Everything that we know an upstream to do, by weight. But for `foreign-id=answer` and `same-id`: where the answer to
the id's true owner was lost as well, nothing on the wire tells whose it is, and a lost callback leaves nothing else."""
LOUD = {
    "": 30, "[[slow-drip=20]]": 25, "[[no-callback]] [[slow-drip=20]]": 5, "[[gateway=403]]": 4, "[[gateway=302]]": 3,
    "[[gateway=404]]": 3, "[[gateway=429]]": 3, "[[gateway=502]]": 3, "[[accept-then-drop]]": 4, "[[image-404=3]]": 10,
    "[[image-html]]": 5, "[[answer-delay=2]]": 5,
}  # fmt: skip
"""What one tenant can do to the others without a kill: images that trickle or never come, gateways."""
PLAIN = {"": 1}
HANGS = {"mixed": 0.05, "loud": 0.3, "plain": 0.0}
"""Share of the jobs whose receiver never answers; it is on the same host as the one that does."""
LIES_ABOUT_IDS = ("foreign-id", "same-id", "forged", "contradict=first")
SIZE_PIXELS = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """One job that somebody wants."""

    number: int
    prompt: str
    tenant: str
    on_unknown: str = "hold"
    hangs: bool = False
    trusting: bool = False
    """A caller who takes a 503 at its word: not accepted, so it asks again under a new Idempotency-Key."""

    @property
    def fault(self) -> str:
        """Its fault as it stands in the prompt; empty for a plain job."""
        return self.prompt.partition(" ")[2]

    @property
    def may_be_bought(self) -> int:
        """How often, without a word from the caller."""
        return 2 if self.on_unknown == "resubmit" else 1

    def body(self, receiver: str, deadline_seconds: int) -> dict[str, Any]:
        """The request. Prompt and seed are this job's alone, so its images are as well."""
        return {
            "model_id": "m", "prompt": self.prompt, "width": SIZE_PIXELS, "height": SIZE_PIXELS, "seed": self.number,
            "on_unknown": self.on_unknown, "deadline_seconds": deadline_seconds,
            "webhook": f"{receiver}/{'hang' if self.hangs else 'told'}",
        }  # fmt: skip


def plan_jobs(first: int, count: int, mix: str, dice: random.Random) -> list[Plan]:
    """So many jobs of the loud tenant, numbered from `first`, with the faults of that mix."""
    faults = {"mixed": MIXED, "loud": LOUD, "plain": PLAIN}[mix]
    return [
        Plan(
            number, f"image-{number} {dice.choices(list(faults), list(faults.values()))[0]}".strip(), "acme",
            on_unknown=dice.choices(["hold", "resubmit", "fail"], [85, 10, 5])[0] if mix == "mixed" else "hold",
            hangs=dice.random() < HANGS[mix], trusting=dice.random() < 0.3,
        )
        for number in range(first, first + count)
    ]  # fmt: skip
