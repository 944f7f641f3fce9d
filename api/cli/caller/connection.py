"""What all verbs for callers share: the API's address, the key, and what its answers mean for the exit code."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from ipaddress import ip_address
from typing import Any

import httpx

from api.cli.stack.running import key_here, running_here
from config.settings import Settings, load_settings

Row = dict[str, Any]
TIMEOUT = httpx.Timeout(30, connect=5)


class Exit(IntEnum):
    """Exit codes of the verbs for callers."""

    OK = 0
    JOB_FAILED = 1
    REFUSED = 2
    AWAY = 3
    DENIED = 4
    NOT_FOUND = 5
    NOT_YET = 6
    BROKEN_PIPE = 141


EXIT_CODES = """exit codes:
  0    done; where a job was waited for: it has succeeded
  1    the job has failed, expired or been cancelled
  2    wrong usage, or the input was refused: each field is named
  3    the API cannot be reached or is overloaded: trying again later is worth it
  4    the key is missing, not valid, or may not do this
  5    there is no such job or image
  6    the time was over before the job ended
  130  interrupted by Ctrl-C; a job that was accepted goes on

The API's address is --url, or DARKROOM_PUBLIC_URL, or DARKROOM_HOST and DARKROOM_PORT; the key is --key (which other
users of the machine can see) or DARKROOM_KEY. Without any of them: the stack that `darkroom up` runs in this folder.
"""


class ApiRefusal(Exception):
    """The API refused, or did not answer: what to show, and the exit code."""

    def __init__(self, code: Exit, problem: Mapping[str, Any]) -> None:
        super().__init__(problem.get("code"))
        self.exit, self.problem = code, problem


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Options for address, key and output."""
    parser.add_argument("--url", help="the API's address")
    parser.add_argument("--key", help="an API key; better in DARKROOM_KEY")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line, and nothing else")
    parser.epilog = EXIT_CODES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


class Api:
    """The API over HTTP. Raises ApiRefusal for everything but success."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        headers = {"authorization": f"Bearer {key}", "user-agent": "darkroom"}
        # no proxy for an API on this machine
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=not _is_loopback(url))

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def call(self, method: str, path: str, **more: Any) -> Any:
        """The answer of one call, as plain data."""
        with _reaching(self.url):
            answer = self._http.request(method, path, **more)
        _check(answer)
        return _json(answer)

    @contextmanager
    def stream(self, path: str, *, read_seconds: float = 30, **more: Any) -> Iterator[httpx.Response]:
        """One answer whose body is read as it comes; redirects are followed, without the key to other hosts."""
        timeout = httpx.Timeout(30, connect=5, read=read_seconds)
        with (
            _reaching(self.url),
            self._http.stream("GET", path, timeout=timeout, follow_redirects=True, **more) as answer,
        ):
            if answer.is_error:
                answer.read()
            _check(answer)
            yield answer


def with_api(arguments: argparse.Namespace, act: Callable[[Api], int]) -> int:
    """Runs one command on the API; a refusal is printed and becomes the exit code."""
    try:
        api = _found(arguments)
        try:
            return act(api)
        finally:
            api.close()
    except ApiRefusal as refusal:
        _tell(refusal, as_json=arguments.json)
        return refusal.exit
    except BrokenPipeError:  # `| head` has read enough; Python would raise again when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.BROKEN_PIPE


def refused(sentence: str, code: Exit = Exit.REFUSED, name: str = "usage") -> ApiRefusal:
    """A refusal that the command makes itself."""
    return ApiRefusal(code, {"code": name, "detail": sentence})


def print_json(value: Any) -> None:
    """One JSON value on a line of its own, in ASCII: safe for any terminal and any pipe."""
    print(json.dumps(value, separators=(",", ":")), flush=True)


def plain(text: object) -> str:
    """Foreign text, safe to print: no escape sequence in it reaches the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def _found(arguments: argparse.Namespace) -> Api:
    settings = load_settings()
    running = running_here()
    url = arguments.url or _configured_url(settings) or (running.api_url if running else settings.public_url)
    key = arguments.key or settings.key.get_secret_value()
    if not key and running and url.rstrip("/") == running.api_url:
        key = key_here()
    if not key:
        raise refused("no API key: set DARKROOM_KEY, or give --key.", Exit.DENIED, "no_key")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise refused("the API key is not one: it has characters that no key has.", Exit.DENIED, "no_key")
    try:
        if httpx.URL(url).scheme in ("http", "https"):
            return Api(url.rstrip("/"), key)
    except httpx.InvalidURL:
        pass
    raise refused("--url is not usable: it must be http:// or https:// with a host.")


def _configured_url(settings: Settings) -> str:
    if "public_url" in settings.model_fields_set:
        return settings.public_url
    if settings.model_fields_set & {"host", "port"}:
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
        return f"http://{everywhere.get(settings.host, settings.host)}:{settings.port}"
    return ""


def _is_loopback(url: str) -> bool:
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@contextmanager
def _reaching(url: str) -> Iterator[None]:
    try:
        yield
    except httpx.RequestError as error:
        what = f"the API at {url} cannot be reached ({type(error).__name__})."
        raise refused(what, Exit.AWAY, "unreachable") from error


def exit_of(status: int) -> Exit:
    """What an answer's status means for the exit code."""
    if status in (401, 403):
        return Exit.DENIED
    if status in (404, 410):
        return Exit.NOT_FOUND
    return Exit.AWAY if status >= 500 or status in (408, 425, 429) else Exit.REFUSED


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        problem = {"code": "unexpected", "detail": f"{answer.url.host} answered {answer.status_code}, not as Darkroom."}
    raise ApiRefusal(exit_of(answer.status_code), problem)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        sentence = f"{answer.url.host} answered something that is not JSON: is it Darkroom?"
        raise refused(sentence, Exit.AWAY, "unexpected") from None


def _tell(refusal: ApiRefusal, *, as_json: bool) -> None:
    problem = refusal.problem
    if as_json:
        print_json(problem)
    words = problem.get("detail") or problem.get("title") or "refused"
    print(f"darkroom: {plain(words)} ({plain(problem['code'])})", file=sys.stderr)
    for error in problem.get("errors", ()):
        allowed = f" allowed: {error['allowed']}" if error.get("allowed") else ""
        print(f"  {plain(error.get('field', ''))}: {plain(error.get('message', ''))}{plain(allowed)}", file=sys.stderr)
