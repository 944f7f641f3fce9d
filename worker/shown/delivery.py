"""Views of deliveries and endpoints. Pure; times are RFC 3339 in UTC."""

from typing import Any

from worker.job.times import rfc3339
from worker.telling.record import Delivery, Endpoint, Page


def delivery_view(delivery: Delivery) -> dict[str, Any]:
    """One delivery with a row for each try."""
    return {
        "id": delivery.id,
        "job_id": delivery.job_id,
        "state": delivery.state,
        "created_at": rfc3339(delivery.created_at),
        "tries": delivery.tries,
        "next_try_at": rfc3339(delivery.next_try_at),
        "endpoint": delivery.endpoint,
        "attempts": [
            {
                "at": rfc3339(row["at"]),
                "status": row["status"],
                "error": row["error"],
                "duration_seconds": row["seconds"],
                "answer": row["answer"],
                "next_try_at": rfc3339(row.get("next_at")),
            }
            for row in delivery.attempts
        ],
    }


def page_view(page: Page) -> dict[str, Any]:
    """A page of deliveries, and the cursor of the next page."""
    cursor = f"{page.next[0]}.{page.next[1]}" if page.next else None
    return {"deliveries": [delivery_view(each) for each in page.rows], "next_cursor": cursor}


def endpoint_view(endpoint: Endpoint) -> dict[str, Any]:
    """One endpoint, and whether its deliveries succeed."""
    state = "disabled" if endpoint.disabled_at else "failing" if endpoint.failing_since else "ok"
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "state": state,
        "reason": endpoint.reason,
        "disabled_at": rfc3339(endpoint.disabled_at),
        "failing_since": rfc3339(endpoint.failing_since),
        "failures": endpoint.failures,
        "told_at": rfc3339(endpoint.told_at),
        "failed_at": rfc3339(endpoint.failed_at),
    }
