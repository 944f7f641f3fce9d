"""Where the provider calls back: our public address, the provider's path, and a token that proves the attempt."""

from config.settings import Settings
from worker.signing import callback_token
from worker.upstream.chosen import PROVIDER


def callback_url(settings: Settings, track_id: str) -> str:
    """The address of that attempt's callbacks. A secret: who knows it can say how the attempt ended."""
    return f"{settings.public_url}{PROVIDER.callback_path}{callback_token(track_id, settings.secrets)}"
