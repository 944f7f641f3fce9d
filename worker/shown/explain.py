"""`explain`: one sentence that says why a job is where it is. Pure."""

from worker.job.record import Job, Milliseconds, Status
from worker.store.standing import AccountState, Standing

MOST_KEYS_NAMED = 3
REASONS = {
    "busy": "the upstream's queue was full",
    "unreachable": "the upstream could not be reached",
    "key_refused": "the upstream refused our key",
    "misconfigured": "the upstream's address does not answer as it should",
}


def explain(job: Job, where: Standing, now: Milliseconds) -> str:
    """Why the job is where it is and what it waits for."""
    match job.status:
        case Status.QUEUED:
            return _queued(job, where, now)
        case Status.SUBMITTING:
            return "It is being sent to the upstream."
        case Status.UNKNOWN:
            return _unknown(job, now)
        case Status.PROCESSING:
            return "The upstream is generating it; a callback or a poll will tell."
        case Status.STORING:
            return "The upstream is done; its images are being fetched and stored."
        case Status.SUCCEEDED:
            return _succeeded(job)
        case Status.CANCELLED:
            return f"It was cancelled; {_charge(job)}."
        case Status.EXPIRED:
            return _expired(job)
        case Status.FAILED:
            return f"It failed: {job.error.message if job.error else 'no reason was recorded'}; {_charge(job)}."


def _queued(job: Job, where: Standing, now: Milliseconds) -> str:
    if where.own_position is None:
        return "It has its place upstream and waits for a worker."
    parts = [f"{_ordinal(where.own_position + 1)} of {where.own_waiting} of tenant {job.order.tenant}"]
    others = (where.position or 0) - where.own_position
    if others:
        parts.append(f"{others} of other tenants {'goes' if others == 1 else 'go'} before it")
    parts += _obstacles(where, now)
    if last := job.attempt:
        parts.append(f"it was tried before, but {REASONS.get(last.outcome or '', 'in vain')}")
    if where.wait_ms:
        parts.append(f"about {max(1, round(where.wait_ms / 1000))} s")
    return "; ".join(parts) + "."


def _obstacles(where: Standing, now: Milliseconds) -> list[str]:
    """The reasons that hold back the whole queue, the tenant, or the upstream accounts."""
    if where.held_back:
        return [f"everything is held back: {where.held_back}"]
    if where.tenant_paused:
        return [f"its tenant is paused: {where.tenant_paused}"]
    if not where.accounts:
        return ["no worker with an upstream key is there"]
    named = [_account(each, now) for each in where.accounts[:MOST_KEYS_NAMED]]
    more = len(where.accounts) - MOST_KEYS_NAMED
    return [*named, f"{more} more keys"] if more > 0 else named


def _account(account: AccountState, now: Milliseconds) -> str:
    seconds = max(0, account.paused_until - now) // 1000
    match account.state:
        case "drained":
            return f"key {account.name} is drained"
        case "broken":
            return f"key {account.name} is tried again in {seconds} s ({REASONS.get(account.reason, 'it failed')})"
        case "resting":
            return f"key {account.name} rests for {seconds} s, as the upstream asked"
    return f"key {account.name} at {account.held} of {account.limit}"


def _ordinal(number: int) -> str:
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"


def _unknown(job: Job, now: Milliseconds) -> str:
    plan = {"hold": "waits for the callback", "resubmit": "is sent once more", "fail": "fails"}[job.order.on_unknown]
    if job.unknown_until is None:  # its policy has acted, or the budget had no room to buy again: it only waits now
        plan = "waits for the callback"
    wait = f" after {max(0, job.unknown_until - now) // 1000} s" if job.unknown_until else ""
    then = plan if job.order.on_unknown == "hold" or not wait else f"{plan}{wait} unless a callback comes first"
    return f"Nobody knows whether the upstream took it, so it is not sent again by itself: it {then}."


def _succeeded(job: Job) -> str:
    parts = [f"{len(job.images)} {'image is' if len(job.images) == 1 else 'images are'} stored"]
    if job.images_missing:
        parts.append(f"{job.images_missing} fewer than asked for")
    if job.late:
        parts.append("the result came after the end")
    if job.nsfw:
        parts.append("the upstream's safety checker replaced what it showed")
    return f"{', '.join(parts).capitalize()}."


def _expired(job: Job) -> str:
    if job.finished_at is not None and job.finished_at < job.order.deadline_at:
        return f"Its turn came too late for a result before its deadline; {_charge(job)}."
    return f"Its deadline passed before a result was stored; {_charge(job)}."


def _charge(job: Job) -> str:
    if job.charged is None:
        return "the upstream may have charged for it"
    return "the upstream had taken it and will have charged for it" if job.charged else "nothing was bought"
