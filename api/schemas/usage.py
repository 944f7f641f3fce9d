"""A tenant's usage as OpenAPI describes it. api/endpoints/usage.py answers; a test holds the two together."""

from pydantic import BaseModel, Field


class WaitingUsage(BaseModel):
    """Jobs that wait for a place upstream."""

    jobs: int
    limit: int | None


class RateLimit(BaseModel):
    """Requests."""

    requests_per_second: float | None
    burst: int | None


class ImageUsage(BaseModel):
    """Images."""

    open: int = Field(description="Reserved, being bought, or nobody knows")
    spent: int = Field(description="Bought")
    limit: int | None


class PeriodUsage(BaseModel):
    """What the jobs accepted in a day or month (UTC) have used."""

    period: str
    images: ImageUsage


class UsageView(BaseModel):
    """What a tenant uses and may use."""

    tenant: str
    paused: bool
    weight: float
    waiting: WaitingUsage
    rate: RateLimit
    day: PeriodUsage
    month: PeriodUsage
