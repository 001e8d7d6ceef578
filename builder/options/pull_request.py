"""The type of NB_PULL_REQUEST: the address of a pull request, which tells the forge, its API and the repository."""

from __future__ import annotations

import re

from builder.model import PullRequest
from builder.options.values import TEXT, InvalidValue, ValueType, parse_text

_HOST = r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]{0,250}[A-Za-z0-9])?)(?P<port>:[0-9]{1,5})?"
_NAME = r"(?!\.+/)[A-Za-z0-9_.][A-Za-z0-9_.-]{0,254}"
_NUMBER = r"(?P<number>[1-9][0-9]{0,9})/?"
_GITHUB = re.compile(rf"https://{_HOST}/(?P<repository>{_NAME}/{_NAME})/pull/{_NUMBER}")
_GITLAB = re.compile(
    rf"https://{_HOST}/(?P<repository>{_NAME}(?:/{_NAME}){{1,20}})/-/merge_requests/{_NUMBER}"
)
_EXPECTED = "expected https://HOST/OWNER/REPOSITORY/pull/NUMBER of GitHub, or https://HOST/GROUP/PROJECT/-/merge_requests/NUMBER of GitLab"


def _parse_pull_request(value: object) -> PullRequest:
    url = parse_text(value)
    found = _GITLAB.fullmatch(url)
    if found:
        api = f"https://{found['host'].lower()}{found['port'] or ''}/api/v4"
        return PullRequest("gitlab", url, api, found["repository"], int(found["number"]))
    found = _GITHUB.fullmatch(url)
    if found:
        api = _github_api(found["host"].lower(), found["port"] or "")
        return PullRequest("github", url, api, found["repository"], int(found["number"]))
    raise InvalidValue(_EXPECTED)


def _github_api(host: str, port: str) -> str:
    """Return the address of the API of github.com, of GitHub Enterprise Cloud (`ghe.com`), or of an own server."""
    if host in {"github.com", "www.github.com"}:
        return "https://api.github.com"
    if host.endswith(".ghe.com"):
        return f"https://api.{host}"
    return f"https://{host}{port}/api/v3"


def _write(value: PullRequest) -> str:
    return value.url


pull_request = ValueType(_parse_pull_request, TEXT, _write)
