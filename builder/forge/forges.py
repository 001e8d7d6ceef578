"""The two forges: who the token belongs to, the comments of a pull request, and the status of a commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import quote

from builder.forge.calls import ForgeCalls
from builder.model import PullRequest
from builder.ports import CallFailed, Clock

CONTEXT = "notebook-builder"  # the name of the commit's status
MAX_PAGES = 40
_PAGE = 50  # comments


@dataclass(frozen=True)
class Comment:
    """A comment on a pull request, and the id of its author."""

    id: int
    author: int
    body: str


@dataclass(frozen=True)
class Status:
    """The status of a commit: `description` has at most 140 characters, `target` is the address of the report."""

    green: bool
    description: str
    target: str


@dataclass(frozen=True)
class _Api:
    """The words and paths of one forge, for one pull request.

    `author` is the field of a comment's author, `name` that of a status's name. `comment` is the path of a comment
    without its id, and `replace` the verb that replaces it.
    """

    headers: Mapping[str, str]
    author: str
    comments: str
    comment: str
    replace: str
    statuses: str
    name: str
    red: str


def _github(pull_request: PullRequest) -> _Api:
    """Return the API of github.com, GitHub Enterprise Cloud, and GitHub Enterprise Server."""
    repository = f"repos/{pull_request.repository}"
    return _Api(
        headers={"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"},
        author="user",
        comments=f"{repository}/issues/{pull_request.number}/comments",
        comment=f"{repository}/issues/comments",
        replace="PATCH",
        statuses=f"{repository}/statuses",
        name="context",
        red="failure",
    )


def _gitlab(pull_request: PullRequest) -> _Api:
    """Return the API of gitlab.com, and of GitLab on a host of one's own."""
    project = f"projects/{quote(pull_request.repository, safe='')}"
    notes = f"{project}/merge_requests/{pull_request.number}/notes"
    return _Api(
        headers={"Accept": "application/json"},
        author="author",
        comments=notes,
        comment=notes,
        replace="PUT",
        statuses=f"{project}/statuses",
        name="name",
        red="failed",
    )


class Forge:
    """A pull request's forge with a token. Each method makes one call, or one for each page. Each raises CallFailed."""

    def __init__(self, pull_request: PullRequest, token: str, clock: Clock) -> None:
        self._api = _github(pull_request) if pull_request.forge == "github" else _gitlab(pull_request)
        self._calls = ForgeCalls(pull_request.api, token, clock, self._api.headers)

    def user(self) -> int:
        """Return the id of the token's user."""
        found = self._calls.send("GET", "user")
        if not isinstance(found, dict) or type(found.get("id")) is not int:
            raise _unexpected("GET user", "a user with an id")
        return int(found["id"])

    def comments(self) -> Iterator[Comment]:
        """Yield the comments of the pull request, the oldest first, at most 2,000."""
        for page in range(1, MAX_PAGES + 1):
            params = {"per_page": _PAGE, "page": page, "sort": "asc"}
            found = self._calls.send("GET", self._api.comments, params=params)
            if not isinstance(found, list):
                raise _unexpected(f"GET {self._api.comments}", "a list of comments")
            for entry in found:
                with suppress(KeyError, TypeError, ValueError):  # of a deleted user, who is no author
                    author = int(entry[self._api.author]["id"])
                    yield Comment(int(entry["id"]), author, str(entry["body"]))
            if len(found) < _PAGE:
                return

    def create(self, body: str) -> None:
        """Write a new comment."""
        self._calls.send("POST", self._api.comments, {"body": body})

    def update(self, comment: int, body: str) -> None:
        """Replace the text of a comment."""
        self._calls.send(self._api.replace, f"{self._api.comment}/{comment}", {"body": body})

    def set_status(self, commit: str, status: Status) -> None:
        """Set the status of a commit."""
        body = {
            "state": "success" if status.green else self._api.red,
            self._api.name: CONTEXT,
            "description": status.description,
            "target_url": status.target,
        }
        self._calls.send("POST", f"{self._api.statuses}/{commit}", body)


def _unexpected(call: str, expected: str) -> CallFailed:
    return CallFailed(
        call=call, resource="the forge", code="unexpected", message=f"the answer is not {expected}"
    )
