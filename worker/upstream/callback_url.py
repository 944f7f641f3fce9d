"""The callback URL: our public address, the provider's path, and a token that proves the attempt."""

from config.settings import Settings
from worker.signing import callback_token
from worker.upstream.chosen import PROVIDER


def callback_url(settings: Settings, track_id: str) -> str:
    """The callback URL of that attempt. It is a secret: whoever knows it can forge the attempt's callback."""
    return f"{settings.public_url}{PROVIDER.callback_path}{callback_token(track_id, settings.secrets)}"
