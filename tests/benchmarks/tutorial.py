"""The two ends of the intake benchmark's scale: the way a tutorial does it, and an endpoint that does no I/O.

Both take the same body through the same request model as the product's endpoint, on one uvicorn process.
"""

import uuid

from celery import Celery
from fastapi import FastAPI, Request
from redis import Redis

from api.schemas.request import parse_request
from config.settings import load_settings

URL = load_settings().redis_url.get_secret_value()
redis = Redis.from_url(URL)
celery = Celery("tutorial", broker=URL)
celery.conf.task_ignore_result = True
app = FastAPI()


@celery.task(name="tutorial.generate")
def generate(job_id: str) -> None:
    """Never run: only its message counts here."""


@app.post("/tutorial", status_code=202)
def tutorial(body: dict[str, object]) -> dict[str, str]:
    """A `def` endpoint, one SET, one `delay()`: a crash between the two loses the job."""
    job_id = uuid.uuid4().hex
    redis.set(f"job:{job_id}", str(body))
    generate.delay(job_id)
    return {"id": job_id, "status": "queued"}


@app.post("/floor", status_code=202)
async def floor(request: Request) -> dict[str, str]:
    """The same body parsed the same way, and nothing else."""
    parse_request(await request.body())
    return {"id": uuid.uuid4().hex, "status": "queued"}
