"""The caller of an API: an account, the owner of the project, or nobody known. Values."""

from __future__ import annotations

from dataclasses import dataclass

CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"


@dataclass(frozen=True)
class Caller:
    """The caller. `email` is None if there was no token.

    `scopes` are the token's. They limit the token, also if the roles of the account give more.
    """

    email: str | None
    scopes: tuple[str, ...] = (CLOUD_PLATFORM,)
    vm: str = ""
    """The path of the instance whose metadata server gave the token; "" for any other process."""


OWNER_ADDRESS = "owner@example.com"
OWNER = Caller(OWNER_ADDRESS)
"""The user who owns the project."""
ANONYMOUS = Caller(None, ())
