"""The job as OpenAPI describes it. Answers are written by worker/shown/job.py; a test compares the two."""

from typing import Any, Literal

from pydantic import BaseModel, Field

StatusName = Literal[
    "queued", "submitting", "unknown", "processing", "storing", "succeeded", "failed", "cancelled", "expired"
]


class ImageView(BaseModel):
    """One stored image."""

    index: int
    url: str = Field(description="Signed, expires, needs no key")
    sha256: str
    width: int
    height: int
    format: Literal["PNG", "JPEG", "WEBP"]
    bytes: int
    seed: int | None
    nsfw: bool


class ErrorView(BaseModel):
    """Why a job failed."""

    code: str
    message: str
    upstream_message: str | None


class AttemptView(BaseModel):
    """One POST to the upstream."""

    number: int
    track_id: str
    request_id: str | None
    upstream: str
    status: str
    started_at: str
    answered_at: str | None
    outcome: str | None
    message: str | None


class TimelineRow(BaseModel):
    """One transition."""

    at: str
    from_: StatusName | None = Field(alias="from")
    to: StatusName
    cause: str
    attempt: int | None
    omitted: int = Field(default=0, description="Rows before this one that a long timeline no longer has; absent: none")


class Links(BaseModel):
    """Addresses that belong to the job."""

    self: str
    events: str
    cancel: str
    images: str


class JobRow(BaseModel):
    """A job as lists show it."""

    id: str
    status: StatusName
    track_id: str | None
    created_at: str
    updated_at: str
    finished_at: str | None
    deadline_at: str
    priority: int
    request: dict[str, Any]
    adjustments: list[dict[str, Any]]
    position: int | None = Field(description="How many jobs go before it")
    eta_seconds: float | None
    explain: str = Field(description="One sentence: why it is where it is")
    late: bool
    charged: bool | None = Field(description="null: nobody knows")
    completed_via: Literal["answer", "callback", "poll", "manual"] | None
    nsfw: bool
    images_missing: int
    images: list[ImageView]
    error: ErrorView | None
    metadata: dict[str, Any]
    retry_of: str | None
    links: Links


class JobView(JobRow):
    """A job."""

    attempts: list[AttemptView]
    timeline: list[TimelineRow]


class JobList(BaseModel):
    """A page of jobs."""

    jobs: list[JobRow]
    next_cursor: str | None


class JobBatch(BaseModel):
    """The jobs of a batch, in the order of its requests."""

    jobs: list[JobView]
