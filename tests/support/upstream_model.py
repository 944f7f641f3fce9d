"""An upstream that knows which POST it took, in the place of the HTTP client: its bill is what tests judge by."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from worker.job.answer import Answer, NotTaken, Open, Outcome, Reason, Taken
from worker.job.ids import parse_track_id
from worker.upstream.accounts import Account
from worker.upstream.errors import UpstreamUnavailable

Fate = Literal[
    "processing", "no id", "success", "failed", "lost", "lost on the way", "busy", "unreachable", "rejected"
]  # fmt: skip
TAKING: tuple[Fate, ...] = ("processing", "no id", "success", "failed", "lost")
REFUSING: tuple[Fate, ...] = ("busy", "unreachable", "rejected")
FATES: tuple[Fate, ...] = (*TAKING, "lost on the way", *REFUSING)
Says = Literal["truth", "away", "not found", "somebody else's"]


@dataclass
class Post:
    """One POST as the upstream sees it."""

    track_id: str
    answer: "asyncio.Future[Outcome]"
    request_id: str | None = None
    """Its id, once it is taken and billed."""
    end: Literal["success", "failed"] | None = None

    @property
    def job_id(self) -> str:
        return self.track_id.partition("-")[0]

    @property
    def number(self) -> int:
        return int(self.track_id.partition("-")[2])

    @property
    def is_open(self) -> bool:
        """Whether somebody still waits for its answer."""
        return not self.answer.done()


@dataclass
class Upstream:
    """Takes, works, tells, all when it is told to."""

    posts: dict[str, Post] = field(default_factory=dict)
    says: Says = "truth"
    """What fetch answers next."""
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(self, account: Account, request: Mapping[str, object], track_id: str) -> Outcome:
        """As worker.upstream.client: the outcome of a POST, once `answer` has decided on it."""
        assert parse_track_id(track_id)
        assert track_id not in self.posts, "an attempt was posted twice"
        post = self.posts[track_id] = Post(track_id, asyncio.get_running_loop().create_future())
        self.arrived.set()
        return await post.answer

    async def fetch(self, account: Account, request_id: str, seconds: float = 0, *, track_id: str = "") -> Answer:
        """As worker.upstream.client: how that request stands, or what stands between us and the truth."""
        if self.says == "away":
            raise UpstreamUnavailable("test")
        if self.says == "not found":
            return Answer("failed", message="Request not found")
        post = next(each for each in self.posts.values() if each.request_id == request_id)
        return self.told(post, foreign=self.says == "somebody else's")

    def take(self, post: Post) -> None:
        """From here on it is billed."""
        post.request_id = post.request_id or str(len(self.bill()) + 1000)

    def bill(self, job_id: str = "") -> list[Post]:
        """What was taken, and is paid for."""
        return [post for post in self.posts.values() if post.request_id and post.job_id.startswith(job_id)]

    def answer(self, post: Post, fate: Fate) -> None:
        """What becomes of a POST that waits for its answer."""
        if fate in TAKING:
            self.take(post)
        if fate == "success" or fate == "failed":
            post.end = post.end or fate
        post.answer.set_result(self._outcome(post, fate))

    def _outcome(self, post: Post, fate: Fate) -> Outcome:
        match fate:
            case "processing" | "success" | "failed":
                return Taken(self.told(post))
            case "no id":
                return Taken(Answer("processing"))
            case "busy":
                return NotTaken(Reason.BUSY, "the queue is full", 1)
            case "unreachable":
                return NotTaken(Reason.UNREACHABLE)
            case "rejected":
                return NotTaken(Reason.REJECTED, "width")
            case _:
                return Open("read_timeout")

    def told(self, post: Post, *, foreign: bool = False) -> Answer:
        """What the upstream says of it, or of another one where its ids have gone astray."""
        request_id = "999999" if foreign else post.request_id
        if post.end == "success":
            return Answer("success", request_id=request_id, links=(f"https://cdn/{request_id}.png",))
        if post.end == "failed":
            return Answer("failed", request_id=request_id, message="out of memory")
        return Answer("processing", request_id=request_id, eta_seconds=2)

    def callback(self, post: Post, shape: str) -> bytes:
        """The body of a callback, as the upstream really shapes it: complete, poor, or somebody else's."""
        body = {"status": post.end or "processing", "id": post.request_id, "track_id": post.track_id}
        if post.end == "success":
            body["output"] = [f"https://cdn/{post.request_id}.png"]
        if shape == "without its id":
            del body["id"]
        if shape == "without its track_id":
            del body["track_id"]
        if shape == "without addresses":
            body.pop("output", None)
        if shape == "of another":
            body |= {"status": "success", "track_id": post.job_id[::-1], "output": ["https://cdn/foreign.png"]}
        return orjson.dumps(body)
