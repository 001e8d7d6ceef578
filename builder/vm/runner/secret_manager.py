"""Reads secrets from Secret Manager as the VM's account. Only the caller gets their values."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from builder.vm.protocol import SECRET_REFUSALS, UNUSABLE_VALUES

from .fault import Fault
from .redaction import label
from .secret_forms import MIN_BYTES, WORDS
from .storage import ask_google, crc32c

BUDGET_SECONDS = 120.0
CALL_SECONDS = 30.0
PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
AT_ONCE = 8
_TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})  # HTTP statuses
PROBLEMS = SECRET_REFUSALS | UNUSABLE_VALUES
_BY_STATUS: Mapping[int, str] = {HTTPStatus.FORBIDDEN: "denied", HTTPStatus.NOT_FOUND: "missing"}


@dataclass(frozen=True)
class Secret:
    """The result of reading a secret. `problem` is a key of `PROBLEMS`, or empty; `said` is Google's message."""

    name: str
    resource: str
    version: int | None = None
    problem: str = ""
    said: str = ""
    value: str = field(default="", repr=False)


def resolve(endpoint: str, wanted: Mapping[str, str]) -> list[Secret]:
    """Return every secret (`wanted`: resource by name). Raises `Fault` if Secret Manager cannot be reached in time."""
    deadline = time.monotonic() + BUDGET_SECONDS
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: _access(endpoint, name, wanted[name], deadline), wanted))


def check(secrets: list[Secret]) -> None:
    """Raise `Fault`, with all problems, unless every secret has a usable value."""
    wrong = [secret for secret in secrets if secret.problem]
    if wrong:
        reason = (
            "secret_unfit" if all(secret.problem in UNUSABLE_VALUES for secret in wrong) else "secret_refused"
        )
        raise Fault(reason, "; ".join(map(_described, wrong)))


def _described(secret: Secret) -> str:
    said = f" ({secret.said})" if secret.said else ""
    return f"secret {secret.name}, {secret.resource}: {PROBLEMS[secret.problem]}{said}"


def _access(endpoint: str, name: str, resource: str, deadline: float) -> Secret:
    pause = PAUSE_SECONDS
    while True:
        said = ""
        try:
            status, body = ask_google(f"{endpoint}/v1/{resource}:access", CALL_SECONDS)
        except ConnectionError as error:
            said = str(error)
        else:
            if status == HTTPStatus.OK and (read := _read(name, resource, body)):
                return read
            if status != HTTPStatus.OK and status not in _TRANSIENT:
                return _refused(name, resource, status, body)
            said = f"HTTP {status}" if status != HTTPStatus.OK else "its answer is damaged"
        if time.monotonic() + pause > deadline:
            raise Fault(
                "secret_unavailable", f"secret {name}, {resource}: Secret Manager does not answer: {said}"
            )
        time.sleep(pause)
        pause = min(pause * 2, MAX_PAUSE_SECONDS)


def _read(name: str, resource: str, body: bytes) -> Secret | None:
    """Return the secret in an answer; None if the answer is damaged."""
    try:
        answer = json.loads(body)
        data = base64.b64decode(answer["payload"]["data"], validate=True)
        intact = int(answer["payload"]["dataCrc32c"]) == crc32c(data)
        version = int(str(answer["name"]).rpartition("/")[2])
    except (ValueError, KeyError, TypeError):
        return None
    if not intact:
        return None
    problem, value = _fit(name, data)
    return Secret(name, resource, version, problem, value=value)


def _fit(name: str, data: bytes) -> tuple[str, str]:
    """Return the problem of a value, or "" and the value."""
    try:
        value = data.decode()
    except UnicodeDecodeError:
        return "not_text", ""
    if "\0" in value:
        return "nul", ""
    if len(value.strip().encode()) < MIN_BYTES:
        return "short", ""
    if value.strip() in f"{WORDS} {label(name)}":
        return "word", ""
    return "", value


def _refused(name: str, resource: str, status: int, body: bytes) -> Secret:
    error = _error(body)
    message = str(error.get("message", ""))[:300]
    details = error.get("details") or ()
    reasons = {detail.get("reason") for detail in details if isinstance(detail, dict)}
    problem = _BY_STATUS.get(status, "refused")
    if "SERVICE_DISABLED" in reasons:
        problem = "api_disabled"
    elif status == HTTPStatus.BAD_REQUEST and error.get("status") == "FAILED_PRECONDITION":
        problem = "destroyed" if "DESTROYED" in message else "disabled"
    return Secret(name, resource, problem=problem, said=f"{status}: {message}")


def _error(body: bytes) -> dict[str, Any]:
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}
