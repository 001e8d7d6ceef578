"""Tokens and permission checks. Tokens live in memory and on real time; a restart makes clients fetch new ones."""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from localcloud.errors import ApiError, forbidden, unauthenticated
from localcloud.iam.policies import Policies
from localcloud.iam.policy import ACCOUNTS, EVERYONE, GRANTS, Grant, email
from localcloud.iam.roles import ROLES
from localcloud.service import CLOUD_PLATFORM, OWNER, Caller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]

_LIFETIME = 3600.0
# A metadata server hands out the token that it has, until that is nearly over.
_RENEW_BEFORE = 300.0

_UNKNOWN_CALLER = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential."
)
_OUT_OF_SCOPE = "Request had insufficient authentication scopes."

_SCOPE = "https://www.googleapis.com/auth/"

# The scopes that let a token reach a service at all, by the first part of the permission; reading apart.
_SCOPES: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "compute": (("compute",), ("compute.readonly", "cloud-platform.read-only")),
    "storage": (
        ("devstorage.read_write", "devstorage.full_control"),
        ("devstorage.read_only", "cloud-platform.read-only"),
    ),
    "bigquery": (("bigquery",), ("bigquery.readonly", "cloud-platform.read-only")),
    "secretmanager": ((), ()),
    "pubsub": (("pubsub",), ()),
    "cloudscheduler": (("cloud-scheduler",), ()),
    "artifactregistry": ((), ("cloud-platform.read-only",)),
    "cloudfunctions": ((), ()),
    "run": (("run",), ("run.readonly",)),
}
# Each service's words for a 403, where they are not the usual ones.
_DENIALS: Mapping[str, str] = {
    "compute": "Required '{permission}' permission for '{resource}'",
    "secretmanager": "Permission '{permission}' denied for resource '{resource}' (or it may not exist).",
    "pubsub": "User not authorized to perform this action.",
    "cloudscheduler": 'The principal (user or service account) lacks IAM permission "{permission}" for the resource '
    '"{resource}" (or the resource may not exist).',
    "artifactregistry": "Permission '{permission}' denied on resource '//artifactregistry.googleapis.com/{resource}' "
    "(or it may not exist).",
    "cloudfunctions": "Permission '{permission}' denied on resource '{resource}' (or resource may not exist).",
    "run": "Permission '{permission}' denied on resource '{resource}' (or resource may not exist).",
}
_READING = re.compile(r"\.(get|list)[A-Za-z]*$")


@dataclass(frozen=True)
class _Token:
    text: str
    caller: Caller
    expires: float


class Iam:
    """Accounts, their tokens, and what they may do.

    Resources are named "projects/P", "projects/P/zones/Z/instances/I", "projects/_/buckets/B",
    "projects/_/buckets/B/objects/O", "projects/P/secrets/S/versions/V", "projects/P/topics/T",
    "projects/P/locations/L/jobs/J" (functions, services and repositories likewise) and "projects/P/serviceAccounts/EMAIL", P being the project's id or number. Listing objects is asked of the bucket.
    """

    def __init__(self, grants: Sequence[Grant] = GRANTS) -> None:
        self._grants = tuple(grants)
        self._policies = Policies()
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def accounts(self) -> list[str]:
        """Return the addresses of the project's service accounts."""
        return [email(account) for account in ACCOUNTS]

    def token(self, address: str, scopes: Sequence[str] = (CLOUD_PLATFORM,)) -> tuple[str, int]:
        """Return an access token of an account and the seconds it is still good for (real time)."""
        caller = Caller(address, tuple(scopes))
        now = time.monotonic()
        with self._lock:
            self._tokens = {text: token for text, token in self._tokens.items() if token.expires > now}
            for token in self._tokens.values():
                if token.caller == caller and token.expires - now > _RENEW_BEFORE:
                    return token.text, int(token.expires - now)
            text = f"ya29.local-{secrets.token_urlsafe(24)}"
            self._tokens[text] = _Token(text, caller, now + _LIFETIME)
        return text, int(_LIFETIME)

    def caller(self, authorization: str | None) -> Caller:
        """Return who an Authorization header stands for; no header is the owner, an unknown token a 401."""
        if authorization is None:
            return OWNER
        kind, _, text = authorization.partition(" ")
        with self._lock:
            token = self._tokens.get(text.strip())
        if kind.lower() != "bearer" or token is None or token.expires <= time.monotonic():
            raise unauthenticated(_UNKNOWN_CALLER)
        return token.caller

    def policy(self, resource: str) -> Json:
        """Return the policy set on a resource, in Google's form; just an etag where none was set."""
        return self._policies.get(resource)

    def bind(self, resource: str, policy: Json) -> Json:
        """Set a resource's policy, which counts for all that is in the resource; return it with its new etag.

        Raises `ApiError`: 409 when it brings an etag that is no longer the policy's; 400 or 501 for what is in it.
        """
        return self._policies.set(resource, policy)

    def unbind(self, resource: str) -> None:
        """Forget the policy of a resource that is gone."""
        self._policies.remove(resource)

    def allowed(self, caller: Caller, permission: str, resource: str) -> bool:
        """Tell whether the caller's roles include a permission on a resource; its token's scopes are not looked at."""
        if caller.email is None:
            return True
        granted = any(
            caller.email == email(grant.account) or grant.account == EVERYONE
            for grant in self._grants
            if permission in ROLES[grant.role] and _pattern(grant.on).fullmatch(resource)
        )
        return granted or any(
            permission in ROLES[role] for role in self._policies.roles(caller.email, resource)
        )

    def require(self, caller: Caller, permission: str, resource: str) -> None:
        """Raise a 403 in the words of the service concerned unless the caller has the permission."""
        if not _in_scope(caller, permission):
            raise forbidden(_OUT_OF_SCOPE, reason="insufficientPermissions")
        if not self.allowed(caller, permission, resource):
            raise _denied(caller, permission, resource)


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """Turn a grant's glob into a pattern: `*` is one segment, `**` any number of them."""
    parts = (
        {"**/": "(?:.+/)?", "**": ".*", "*": "[^/]+"}.get(part, re.escape(part))
        for part in re.split(r"(\*\*/|\*\*|\*)", glob)
    )
    return re.compile("".join(parts), re.DOTALL)


def _in_scope(caller: Caller, permission: str) -> bool:
    service = permission.partition(".")[0]
    if caller.email is None or CLOUD_PLATFORM in caller.scopes:
        return True
    if service not in _SCOPES:
        return bool(caller.scopes)
    writing, reading = _SCOPES[service]
    enough = writing + reading if _READING.search(permission) else writing
    return any(_SCOPE + scope in caller.scopes for scope in enough)


def _denied(caller: Caller, permission: str, resource: str) -> ApiError:
    service = permission.partition(".")[0]
    if service == "storage":
        kind = "object" if "/objects/" in resource else "bucket"
        return forbidden(
            f"{caller.email} does not have {permission} access to the Google Cloud Storage {kind}. "
            f"Permission '{permission}' denied on resource (or it may not exist)."
        )
    if permission == "iam.serviceAccounts.actAs":
        account = resource.rpartition("/")[2]
        return forbidden(
            f"The user does not have access to service account '{account}'.  User: '{caller.email}'.  "
            "Ask a project owner to grant you the iam.serviceAccountUser role on the service account"
        )
    words = _DENIALS.get(
        service, "Permission '{permission}' denied on resource '{resource}' (or it may not exist)."
    )
    return forbidden(words.format(permission=permission, resource=resource))
