"""Calls of the project's owner without Google's clients."""

from __future__ import annotations

from localcloud.core.iam import Iam


def signed(iam: Iam) -> dict[str, str]:
    """Return the header that carries the owner's token."""
    return {"Authorization": f"Bearer {iam.owner_token}"}
