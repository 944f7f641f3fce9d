"""Every setting, once: its name, unit, default and meaning. Nothing else reads the environment.

A setting `x` is read from `DARKROOM_X` or from `.env`. A bad value stops the process at start with one sentence.
"""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated, NoReturn

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.addresses import PROVIDERS_IMAGE_HOSTS, is_name_server, is_web_address
from config.redis_address import parse_redis_address

DAY_SECONDS = 86_400


class Settings(BaseSettings):
    """The whole configuration of every process, frozen once it is read."""

    model_config = SettingsConfigDict(env_prefix="DARKROOM_", env_file=".env", frozen=True, extra="ignore")

    # Redis: the system of record and Celery's broker
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Broker and job store: `redis://`, `rediss://`, `sentinel://` or `sentinels://`, see scaling.md",
    )
    redis_timeout_seconds: float = Field(
        1.5, gt=0, le=60, description="How long one Redis command may take before the answer is 503"
    )
    redis_replicas: int = Field(
        0, ge=0, le=10, description="Replicas that must have a write before it counts; without them the answer is 503"
    )
    redis_memory_share: float = Field(
        0.85,
        gt=0,
        le=1,
        description="Used share of Redis' `maxmemory` above which new jobs are refused (507)",
    )

    # The API
    host: str = Field("127.0.0.1", description="Where the API listens")
    port: int = Field(8000, ge=1, le=65535, description="Where the API listens")
    public_url: str = Field("http://127.0.0.1:8000", description="Where the upstream and the callers reach the API")
    api_keys: SecretStr = Field(
        SecretStr(""), description="Comma list of `tenant:key`, or `@file` with one pair a line"
    )
    secret: SecretStr = Field(SecretStr(""), description="Signs callback tokens and image addresses; `old,new` rotates")
    webhooks_https_only: bool = Field(
        False,
        description="Refuse webhooks over plain http, which anybody on the way can read: prompts, image addresses",
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""), description="`whsec_…`, signs webhook deliveries; `old,new` sends both signatures"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="Host headers that the API answers to, as a comma list"
    )
    max_body_bytes: int = Field(65_536, ge=1024, description="Largest body of one request or callback")
    max_followers: int = Field(
        800, ge=1, le=100_000, description="Callers at once that follow a job by its events or by `Prefer: wait`"
    )
    tenant_max_followers: int = Field(100, ge=1, le=100_000, description="Of them of one tenant")
    max_connections: int = Field(
        2048,
        ge=16,
        le=1_000_000,
        description="Connections at once; beyond it the one that has waited longest for its client is closed",
    )
    max_connections_per_address: int = Field(
        0, ge=0, le=1_000_000, description="Of them from one address; 0 is no limit, as behind a proxy"
    )

    metrics_token: SecretStr = Field(
        SecretStr(""), description="`/metrics` asks for it, and then names the tenants; without it nobody is named"
    )

    openai_model_id: str = Field("", description="Model of `/v1/images/generations` where the caller names none")
    openai_wait_seconds: float = Field(
        55, gt=0, le=60, description="How long `/v1/images/generations` waits for its images"
    )

    # The upstream
    upstream_url: str = Field(
        "https://modelslab.com/api/v1/enterprise",
        description="Base address of the upstream; `/text2img` and `/fetch` are added",
    )
    upstream_key: SecretStr = Field(
        SecretStr(""),
        description="Enterprise key; a comma list of keys or `url|key` pairs makes a pool of accounts; `@file` is read "
        "again when it changes",
    )
    upstream_max_in_flight: int = Field(
        0, ge=0, le=100_000, description="Places (slots) of each account in the upstream's queue; 0 learns it"
    )
    upstream_timeout_seconds: float = Field(60, gt=0, le=600, description="Time-out of one submit")
    upstream_connect_timeout_seconds: float = Field(10, gt=0, le=120, description="Time-out of making one connection")
    confirm_callbacks: bool = Field(
        False, description="Check the result in a callback by `fetch` before it is believed"
    )

    # A job's life
    deadline_seconds: int = Field(3600, ge=1, le=30 * DAY_SECONDS, description="Default deadline of a job")
    unknown_wait_seconds: float = Field(
        300,
        gt=0,
        le=30 * DAY_SECONDS,
        description="How long a job that is `unknown` waits for its callback before its policy acts",
    )
    on_unknown: Annotated[dict[str, str], NoDecode] = Field(
        {},
        description="What to do with a job that is `unknown` if the request does not say: comma list of "
        "`tenant:policy`, with hold (the default), resubmit (may buy twice) or fail",
    )
    max_waiting_jobs: int = Field(100_000, ge=1, description="Most waiting jobs; more are refused with 429")
    tenant_max_waiting_jobs: int = Field(0, ge=0, description="Most jobs of one tenant that may wait; 0 is no limit")
    tenant_requests_per_second: float = Field(0, ge=0, le=100_000, description="Rate limit of one tenant; 0: no limit")
    tenant_burst: int = Field(0, ge=0, description="Requests of one tenant at once; 0: as many as in one second")
    tenant_images_per_day: int = Field(0, ge=0, description="Images that one tenant may buy a day (UTC); 0 is no limit")
    tenant_images_per_month: int = Field(0, ge=0, description="Images that one tenant may buy a month; 0 is no limit")
    tenant_max_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of Redis for one tenant's jobs; 0: three times what is left, where there are several",
    )
    deadline_policy: str = Field(
        "accept",
        pattern="^(accept|refuse)$",
        description="If a request does not say: `refuse` refuses a job that is not expected to meet its deadline",
    )
    retention_seconds: int = Field(
        30 * DAY_SECONDS,
        ge=4 * DAY_SECONDS,
        description="How long finished jobs stay readable; at least four days, because until then deliveries are "
        "retried, a late result may come, and an Idempotency-Key must find its job",
    )
    tick_seconds: float = Field(
        0.5, gt=0, le=30, description="How often each worker looks for jobs whose next step is due"
    )

    # Images
    images_url: str = Field(
        "file://./data/images", description="`file://…` or `s3://bucket/prefix` (with the usual AWS variables)"
    )
    s3_endpoint: str = Field("", description="Address of an S3-compatible server; empty for AWS")
    s3_public_endpoint: str = Field("", description="Where callers reach that server, if not at the same address")
    image_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        PROVIDERS_IMAGE_HOSTS,
        description="Hosts from which images may be fetched, as a comma list; `*.` allows every subdomain. "
        "If it is not set: these and the host of the upstream. `*.r2.dev` would be every customer's public bucket at "
        "Cloudflare: whoever can forge a result could then name an image of their own",
    )
    image_max_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="Largest image that is fetched")
    image_max_pixels: int = Field(16_800_000, ge=1, description="Largest image that is decoded")
    image_url_seconds: int = Field(DAY_SECONDS, ge=1, description="How long a signed image address is valid")
    allow_private_addresses: bool = Field(
        False, description="Only for development: allow images and webhooks on private addresses"
    )

    dns_servers: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="DNS servers that workers ask, as a comma list of `address` or `address:port`; empty: those of "
        "the system",
    )

    # Workers
    worker_concurrency: int = Field(2000, ge=1, le=10_000, description="Submits (POSTs) in flight per worker container")
    settle_concurrency: int = Field(
        256, ge=1, le=10_000, description="Callbacks, polls and deadlines at once per worker container"
    )
    collect_concurrency: int = Field(
        256, ge=1, le=10_000, description="Jobs whose images are fetched at once per worker container"
    )
    collect_per_tenant: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Of them of one tenant, over all workers; 16 at first, fewer while its images trickle",
    )
    tell_concurrency: int = Field(
        512, ge=1, le=10_000, description="Webhook deliveries sent at once per worker container"
    )
    tell_per_endpoint: int = Field(
        8, ge=1, le=10_000, description="Deliveries at once to one endpoint, over all workers; 1 while it hangs"
    )
    tell_per_host: int = Field(16, ge=1, le=10_000, description="Deliveries at once of one tenant to one host")
    tell_per_tenant: int = Field(
        64,
        ge=1,
        le=10_000,
        description="Deliveries at once of one tenant, over all workers; a quarter "
        "of it to endpoints that have not answered",
    )
    tell_per_shared_host: int = Field(
        128, ge=1, le=10_000, description="Deliveries at once to one host, of all tenants, over all workers"
    )
    lease_seconds: float = Field(
        60, gt=0.1, le=600, description="How long a worker may record nothing about a job before it is taken for dead"
    )
    stuck_seconds: float = Field(
        60, gt=0, le=3600, description="How long a worker process may stand still before it is started again"
    )
    log_format: str = Field("auto", pattern="^(auto|json|console)$", description="Format of log lines")
    log_level: str = Field("INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="Lowest level that is logged")

    # The command line
    key: SecretStr = Field(
        SecretStr(""),
        description="API key that `darkroom submit`, `get` and the like send; servers do not read it",
    )

    crash_at: str = Field("", description="For tests only: the crash point at which a process kills itself")

    # The sandbox upstream
    sandbox_host: str = Field("127.0.0.1", description="Where the sandbox listens")
    sandbox_port: int = Field(8001, ge=1, le=65535, description="Where the sandbox listens")
    sandbox_key: SecretStr = Field(
        SecretStr("sandbox"), description="Comma list of keys the sandbox takes; `old/new` are two keys of one account"
    )
    sandbox_queue_limit: int = Field(0, ge=0, description="Jobs the sandbox holds at once per key; 0 is no limit")
    sandbox_seconds: float = Field(2.0, ge=0, le=DAY_SECONDS, description="How long the sandbox works on one request")
    sandbox_public_url: str = Field("", description="Where the sandbox's images are reached; empty: where it listens")

    @field_validator("image_hosts", "allowed_hosts", "dns_servers", mode="before")
    @classmethod
    def _comma_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("dns_servers")
    @classmethod
    def _name_servers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(is_name_server(each) for each in value):
            raise ValueError("must be a comma list of numeric addresses, each with a port if it is not 53")
        return value

    @field_validator("on_unknown", mode="before")
    @classmethod
    def _policies(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition(":") for part in value.split(",") if part.strip()]
        if any(policy not in ("hold", "resubmit", "fail") for _, _, policy in pairs):
            raise ValueError("must be tenant:policy pairs with hold, resubmit or fail")
        return {tenant: policy for tenant, _, policy in pairs}

    @field_validator("public_url", "upstream_url", "s3_endpoint", "s3_public_endpoint", "sandbox_public_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        if value and not is_web_address(value):
            raise ValueError("must be an http:// or https:// address with a host, without a user name")
        return value.rstrip("/")

    @field_validator("images_url")
    @classmethod
    def _store_address(cls, value: str) -> str:
        scheme, _, place = value.rstrip("/").partition("://")
        if scheme not in ("file", "s3") or not place or (place.startswith("/") and scheme == "s3"):
            raise ValueError("must be file://folder or s3://bucket/prefix")
        return value.rstrip("/")

    @field_validator("redis_url")
    @classmethod
    def _redis_address(cls, value: SecretStr) -> SecretStr:
        parse_redis_address(value.get_secret_value())
        return value

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """The signing keys, oldest first; the last one signs, all of them verify."""
        return tuple(part.strip().encode() for part in self.secret.get_secret_value().split(",") if part.strip())

    @property
    def images_folder(self) -> Path | None:
        """The folder of a `file://` image store, or None for S3."""
        return Path(self.images_url.removeprefix("file://")) if self.images_url.startswith("file://") else None


def stop(sentence: str) -> NoReturn:
    """End the process at start with one sentence saying what to set."""
    print(f"darkroom: {sentence}", file=sys.stderr)  # noqa: T201 - the logger is not configured yet
    raise SystemExit(2)


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read the environment once, or stop the process naming the first setting that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        stop(f"DARKROOM_{str(first['loc'][0]).upper()} is not usable: {first['msg'].removeprefix('Value error, ')}.")
