"""ModelsLab as a Provider (worker/upstream/provider.py): its calls, words and limits.

What is known of it, with sources: tests/recordings. Images are deleted after 24 hours [documentation].
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import orjson

from worker.job.answer import Answer, Outcome
from worker.upstream.accounts import Account
from worker.upstream.modelslab.outcome import judge_answer
from worker.upstream.modelslab.vocabulary import VOCABULARY
from worker.upstream.modelslab.wire import fetch_body, parse_answer, submit_body
from worker.upstream.provider import Call, Capabilities


class ModelsLab:
    """See worker/upstream/provider.py for what each of these means."""

    name = "ModelsLab"
    capabilities = Capabilities(
        finds_by_our_id=False,  # fetch takes only its own request id
        takes_idempotency_key=False,
        cancels=False,  # clear_queue would clear the whole queue
        signs_callbacks=False,
    )
    vocabulary = VOCABULARY
    base_path = "/api/v1/enterprise"
    callback_path = "/webhooks/modelslab/"
    results_live_seconds = 86_400

    def is_at(self, base_url: str) -> bool:
        return "modelslab.com" in base_url

    def submit_call(self, account: Account, request: Mapping[str, object], track_id: str, callback_url: str) -> Call:
        body = submit_body(request, key=account.key, track_id=track_id, webhook=callback_url)
        return Call(f"{account.base_url}/text2img", body)

    def fetch_call(self, account: Account, request_id: str) -> Call:
        return Call(f"{account.base_url}/fetch", fetch_body(account.key, request_id))

    def greeting_call(self, account: Account) -> Call:
        return Call(f"{account.base_url}/system_details", orjson.dumps({"key": account.key}))

    def judge(self, http_status: int, headers: Mapping[str, str], body: bytes, echoes: Collection[str] = ()) -> Outcome:
        return judge_answer(http_status, headers, body, echoes)

    def parse(self, body: bytes) -> Answer:
        return parse_answer(body)

    def empty_callback(self, track_id: str) -> bytes:
        return orjson.dumps({"status": "failed", "id": "", "track_id": track_id})

    def serves_text(self, image_url: str) -> bool:
        return urlsplit(image_url).path.endswith(".base64")

    def may_blank(self, request: Mapping[str, object]) -> bool:
        return request.get("safety_checker") != "no"
