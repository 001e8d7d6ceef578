"""Explains what a forge or Secret Manager refused to `comment`: the error with its exit code, and advice. Pure."""

from __future__ import annotations

from http import HTTPStatus

from builder import gcloud
from builder.errors import BuilderError, EnvironmentFailed, InputRefused, ProjectSetup
from builder.forge.calls import CERTIFICATE
from builder.model import PullRequest
from builder.ports import CallFailed
from builder.refusals import call_error, is_api_disabled, is_denied

_RIGHTS = {
    "github": "a fine-grained token of the repository with `Pull requests: write` and `Commit statuses: write`",
    "gitlab": "a project access token with the role Developer and the scope `api`",
}
_SET_UP = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


def forge_error(failure: CallFailed, pull_request: PullRequest, secret: str) -> BuilderError:
    """Return the error of a call that a forge refused: the set-up (4), the input (2), or the environment (6)."""
    message = f"{pull_request.url}: {failure.call} was refused: {failure.message} [{failure.code}]"
    if failure.transient:
        wait = f" It asks to wait {failure.retry_after:.0f} s." if failure.retry_after else ""
        return EnvironmentFailed(
            f"{pull_request.url}: {failure.call} failed after retries: {failure.message} [{failure.code}]{wait}",
            reason="forge_unavailable",
            advice="Run the build again later; with NB_REUSE_GREEN, green notebooks do not run again.",
        )
    if failure.code == CERTIFICATE:
        advice = "Set REQUESTS_CA_BUNDLE in the step to a PEM file with its authority and the public ones."
        return ProjectSetup(message, reason="forge_certificate", advice=advice)
    if failure.http_status in _SET_UP:
        return ProjectSetup(message, reason="forge_refused", advice=_advice(failure, pull_request, secret))
    if failure.http_status in range(HTTPStatus.MULTIPLE_CHOICES, HTTPStatus.BAD_REQUEST):
        advice = (
            "The repository has moved. Correct NB_PULL_REQUEST: the token is not sent to another address."
        )
        return InputRefused(message, reason="forge_moved", advice=advice)
    advice = "Verify that NB_PULL_REQUEST and COMMIT_SHA are of the same repository."
    return InputRefused(message, reason="forge_refused", advice=advice)


def _advice(failure: CallFailed, pull_request: PullRequest, secret: str) -> str:
    rights = _RIGHTS[pull_request.forge]
    name = secret.partition("/versions/")[0]
    if failure.http_status == HTTPStatus.UNAUTHORIZED:
        return f"The token in {secret} is not valid, or no longer. Add a version of {name}: {rights}."
    if failure.http_status == HTTPStatus.FORBIDDEN:
        return f"The token needs more rights: {rights}. A locked conversation takes no comments."
    return (
        f"Verify NB_PULL_REQUEST. A repository that the token cannot see is not found either: use {rights}."
    )


def secret_error(failure: CallFailed, secret: str) -> BuilderError:
    """Return the error of a token that cannot be read."""
    _, project, _, name, _, _ = secret.split("/")
    lasting = not failure.transient and not is_api_disabled(failure)
    if lasting and is_denied(failure):
        return ProjectSetup(
            f"The build's account cannot read the token {secret}: {failure.message}",
            reason="secret_refused",
            advice=gcloud.grant_secret(name, project, gcloud.member("")),
        )
    if lasting and failure.http_status in {HTTPStatus.NOT_FOUND, HTTPStatus.BAD_REQUEST}:
        return ProjectSetup(
            f"The token {secret} cannot be read: {failure.message}",
            reason="secret_refused",
            advice="Create the secret and its version, or correct NB_COMMENT_TOKEN (docs/pull-request-comment.md).",
        )
    return call_error(failure)


def unfit_token(secret: str) -> BuilderError:
    """Return the error of a secret whose value is no token."""
    return ProjectSetup(
        f"The value of {secret} is no token: expected 8 to 1,000 visible ASCII characters in one line.",
        reason="secret_unfit",
        advice="Add a version that contains only the token.",
    )
