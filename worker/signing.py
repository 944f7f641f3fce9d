"""Signatures of our own addresses: the token in the callback URL, and the signature of an image address.

The provider signs nothing, so the callback URL itself is the secret. It names one attempt and carries an HMAC over it,
which is checked before anything is looked up. To rotate, set two keys: the newest signs, all verify.
"""

import hmac
from base64 import urlsafe_b64encode
from hashlib import sha256

from worker.job.ids import parse_track_id
from worker.job.record import Milliseconds

CALLBACK, IMAGE = b"callback:", b"image:"


def callback_token(track_id: str, secrets: tuple[bytes, ...]) -> str:
    """The token for one attempt: `<track_id>.<43 characters>`."""
    return f"{track_id}.{_mac(secrets[-1], CALLBACK + track_id.encode())}"


def check_callback_token(token: str, secrets: tuple[bytes, ...]) -> tuple[str, int] | None:
    """(job id, attempt number) that a token proves, or None. Every wrong token takes the same time."""
    track_id, _, given = token.rpartition(".")
    known = _matches(given, CALLBACK + track_id.encode(errors="replace"), secrets)
    return parse_track_id(track_id) if known else None


def image_signature(job_id: str, index: int, expires_at: Milliseconds, secrets: tuple[bytes, ...]) -> str:
    """The signature that makes an image readable without a key until `expires_at` (ms since 1970)."""
    return _mac(secrets[-1], _image(job_id, index, expires_at))


def check_image_signature(
    job_id: str, index: int, expires_at: Milliseconds, given: str, secrets: tuple[bytes, ...]
) -> bool:
    """Whether the signature is ours. The caller checks whether it has expired."""
    return _matches(given, _image(job_id, index, expires_at), secrets)


def _image(job_id: str, index: int, expires_at: Milliseconds) -> bytes:
    return IMAGE + f"{job_id}/{index}/{expires_at}".encode()


def _mac(secret: bytes, message: bytes) -> str:
    return urlsafe_b64encode(hmac.digest(secret, message, sha256)).rstrip(b"=").decode()


def _matches(given: str, message: bytes, secrets: tuple[bytes, ...]) -> bool:
    # every key is tried, even after a match, so that the time reveals nothing
    tried = [hmac.compare_digest(_mac(secret, message), given) for secret in secrets if given.isascii()]
    return any(tried)
