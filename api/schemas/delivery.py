"""Deliveries as OpenAPI describes them. Answers are written by worker/shown/delivery.py; a test compares the two."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

DeliveryState = Literal["pending", "delivered", "exhausted", "gone", "endpoint_disabled", "job_gone"]


class DeliveryAttempt(BaseModel):
    """One try of a webhook delivery."""

    at: str
    status: int | None = Field(description="The receiver's HTTP status; null where there was none")
    error: str | None = Field(description="What went wrong where there was no answer")
    duration_seconds: float
    answer: str = Field(description="The first bytes of the receiver's answer")
    next_try_at: str | None


class DeliveryView(BaseModel):
    """One webhook delivery about one end of a job, with its tries."""

    id: str = Field(description="The `webhook-id` header: the same over all tries and replays")
    job_id: str
    state: DeliveryState
    created_at: str
    tries: int = Field(description="All tries ever; `attempts` has the last 50")
    next_try_at: str | None
    endpoint: str | None = Field(description="The endpoint it goes to; null before its first try")
    attempts: list[DeliveryAttempt]


class DeliveryPage(BaseModel):
    """Newest first."""

    deliveries: list[DeliveryView]
    next_cursor: str | None


class JobDeliveries(BaseModel):
    """Oldest first."""

    deliveries: list[DeliveryView]


class ReplaySince(BaseModel):
    """Which deliveries to replay."""

    model_config = ConfigDict(extra="forbid")
    since: str = Field(
        max_length=64,
        description="RFC 3339: all that were made from then on",
        json_schema_extra={"format": "date-time"},
    )
    state: DeliveryState | None = Field(default=None, description="Only those in this state now")


class ReplayedView(BaseModel):
    """The result of a bulk replay."""

    replayed: int
    skipped: int = Field(description="Under way anyway, in another state, or to an endpoint that is disabled")
    next_since: str | None = Field(description="There were more: repeat with this `since`")


class EndpointView(BaseModel):
    """One of your webhook addresses, without its query, and whether its deliveries succeed."""

    id: str
    url: str
    state: Literal["ok", "failing", "disabled"]
    reason: Literal["gone", "failing"] | None
    disabled_at: str | None
    failing_since: str | None
    failures: int
    told_at: str | None
    failed_at: str | None


class EndpointList(BaseModel):
    """Most recently used first."""

    endpoints: list[EndpointView]


class WebhookSecretView(BaseModel):
    """The secret that signs your webhook deliveries."""

    secret: str | None = Field(description="Your own `whsec_…`; null while you share the installation's")
    shared: bool = Field(description="Whether the installation's secret signs: its operator has it")
    previous_until: str | None = Field(description="Until when the secret before it signs along")
