"""Secret Manager over REST: the value of one version."""

from __future__ import annotations

import base64

import google_crc32c

from builder.gcp.rest import Rest
from builder.ports import CallFailed

_ACCESS = "secretmanager.versions.access"


class GoogleSecrets:
    """Reads secrets as the account of this process."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    def access(self, version: str) -> bytes:
        """Return the value of `projects/P/secrets/S/versions/V`. Raises CallFailed, which never has the value."""
        url = self._rest.url("secretmanager", f"v1/{version}:access")
        payload = self._rest.fetch(_ACCESS, "GET", url)["payload"]
        value = base64.b64decode(payload.get("data", ""))
        checksum = payload.get("dataCrc32c")
        if checksum is not None and int(checksum) != google_crc32c.value(value):
            raise CallFailed(
                call=_ACCESS,
                resource=version,
                code="checksumMismatch",
                message="the value does not match its checksum",
                transient=True,
            )
        return value
