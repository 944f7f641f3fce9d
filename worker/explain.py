"""One sentence: why a job is where it is. Pure."""

from worker.job import Job, Milliseconds, Status

REASONS = {
    "busy": "the upstream's queue was full",
    "unreachable": "the upstream could not be reached",
    "key_refused": "the upstream refused our key",
    "misconfigured": "the upstream's address does not answer as it should",
}


def explain(job: Job, position: int | None, now: Milliseconds) -> str:
    """Why the job is where it is and what it waits for."""
    match job.status:
        case Status.QUEUED:
            return _queued(job, position)
        case Status.SUBMITTING:
            return "It is being sent to the upstream."
        case Status.UNKNOWN:
            return _unknown(job, now)
        case Status.PROCESSING:
            return "The upstream is generating it; a callback or a poll will tell."
        case Status.STORING:
            return "The upstream is done; its pictures are being fetched and stored."
        case Status.SUCCEEDED:
            return _succeeded(job)
        case Status.CANCELLED:
            return f"It was cancelled; {_charge(job)}."
        case Status.EXPIRED:
            return f"Its deadline passed before a result was stored; {_charge(job)}."
        case Status.FAILED:
            return f"It failed: {job.error.message if job.error else 'no reason was recorded'}; {_charge(job)}."


def _queued(job: Job, position: int | None) -> str:
    ahead = "It is next" if not position else f"{position} {'job goes' if position == 1 else 'jobs go'} before it"
    last = job.attempt
    again = f"; it was tried before, but {REASONS.get(last.outcome or '', 'in vain')}" if last else ""
    return f"{ahead}; it waits for a place upstream{again}."


def _unknown(job: Job, now: Milliseconds) -> str:
    plan = {"hold": "waits for the callback", "resubmit": "is sent once more", "fail": "fails"}[job.order.on_unknown]
    wait = f" after {max(0, job.unknown_until - now) // 1000} s" if job.unknown_until else ""
    then = plan if job.order.on_unknown == "hold" else f"{plan}{wait} unless a callback comes first"
    return f"Nobody knows whether the upstream took it, so it is not sent again by itself: it {then}."


def _succeeded(job: Job) -> str:
    parts = [f"{len(job.images)} {'picture is' if len(job.images) == 1 else 'pictures are'} stored"]
    if job.images_missing:
        parts.append(f"{job.images_missing} fewer than asked for")
    if job.late:
        parts.append("the result came after the end")
    if job.nsfw:
        parts.append("the upstream's safety checker replaced what it showed")
    return f"{', '.join(parts).capitalize()}."


def _charge(job: Job) -> str:
    if job.charged is None:
        return "the upstream may have charged for it"
    return "the upstream had taken it and will have charged for it" if job.charged else "nothing was bought"
