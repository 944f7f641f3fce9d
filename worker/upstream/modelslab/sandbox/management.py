"""The documented management calls that make sense for a sandbox."""

from typing import Any

from worker.upstream.modelslab.sandbox.validation import SCHEDULERS

VERBS = ("verify_model", "delete_model", "load_model", "clear_queue", "clear_cache", "restart_server", "update_server")


def management_answer(name: str) -> dict[str, Any] | None:
    """The answer of the call with that name; None if there is no such call."""
    if name in VERBS:
        return {"status": "success", "message": f"{name}: done, as far as a sandbox can"}
    answers: dict[str, dict[str, Any]] = {
        "system_details": {"model_count": 1, "queue_time": 0, "status": "ok"},
        "schedulers_list": {"schedulers": list(SCHEDULERS)},
        "get_all_models": {
            "models": [{"load_data": "01/25/2023 11:52:22", "model_id": "model_id"}],
            "status": "success",
        },
    }
    return answers.get(name)
