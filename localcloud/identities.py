"""Who a process is on the local cloud: a metadata server for each account, and the variables that lead Google's clients to it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from localcloud.iam import PROJECT, email
from localcloud.metadata import Identity, MetadataServer
from localcloud.service import CLOUD_PLATFORM

if TYPE_CHECKING:
    from localcloud.iam import Iam
    from localcloud.state_folder import Ports

_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")


class Identities:
    """The accounts' metadata servers, each started when first asked for, at the port that it had before if that is free."""

    def __init__(self, iam: Iam, ports: Ports) -> None:
        self._iam = iam
        self._ports = ports
        self._lock = threading.Lock()
        self._servers: dict[str, MetadataServer] = {}
        self._stack = contextlib.ExitStack()

    def variables(self, account: str) -> dict[str, str]:
        """Return what leads Google's clients to the metadata server of an account, given by short name or address."""
        name = account.partition("@")[0]
        with self._lock:
            if name not in self._servers:
                self._servers[name] = self._start(name)
            return dict.fromkeys(_VARIABLES, self._servers[name].address)

    def close(self) -> None:
        """End the servers."""
        self._stack.close()

    def _start(self, account: str) -> MetadataServer:
        remembered = f"metadata-{account}"
        identity = Identity(PROJECT, email(account), (CLOUD_PLATFORM,), None, {})
        try:
            server = MetadataServer(lambda: identity, self._iam, self._ports.recall(remembered))
        except OSError:
            server = MetadataServer(lambda: identity, self._iam)
        server.start()
        self._stack.callback(server.close)
        self._ports.remember(remembered, int(server.address.rpartition(":")[2]))
        return server
