"""A tenant's usage as OpenAPI describes it. api/endpoints/usage.py answers; a test compares the two."""

from pydantic import BaseModel, Field


class WaitingUsage(BaseModel):
    """Jobs that wait for a place upstream."""

    jobs: int
    limit: int | None


class MemoryUsage(BaseModel):
    """Memory of the job store that the tenant's jobs use, finished ones too."""

    bytes: int
    limit: int | None


class RateLimit(BaseModel):
    """The rate limit of requests."""

    requests_per_second: float | None
    burst: int | None


class ImageUsage(BaseModel):
    """The budget of images."""

    open: int = Field(description="Reserved, being bought, or nobody knows")
    spent: int = Field(description="Bought")
    limit: int | None


class PeriodUsage(BaseModel):
    """What the jobs that were accepted in a day or month (UTC) have used."""

    period: str
    images: ImageUsage


class UsageView(BaseModel):
    """Usage and limits of a tenant."""

    tenant: str
    paused: bool
    weight: float
    waiting: WaitingUsage
    memory: MemoryUsage
    rate: RateLimit
    day: PeriodUsage
    month: PeriodUsage
