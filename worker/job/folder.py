"""The folder of a job's images and manifest. Its name contains only our own ids."""

from datetime import UTC, datetime

from worker.job.record import Job, Milliseconds


def job_folder(tenant: str, created_at: Milliseconds, job_id: str) -> str:
    """`tenant/2026/11/23/<job id>`: the folder of one job's images and manifest."""
    day = datetime.fromtimestamp(created_at / 1000, UTC).strftime("%Y/%m/%d")
    return f"{tenant}/{day}/{job_id.lower()}"


def folder_of(job: Job) -> str:
    """The folder of a job."""
    return job_folder(job.order.tenant, job.order.created_at, job.id)
