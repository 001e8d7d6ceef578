"""A metadata server for each account, and the variables that lead Google's clients to it."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from localcloud.core.caller import CLOUD_PLATFORM
from localcloud.core.iam import PROJECT, email
from localcloud.core.metadata import Identity, MetadataServer

if TYPE_CHECKING:
    from localcloud.core.iam import Iam
    from localcloud.core.state_folder import Ports

_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_IP", "GCE_METADATA_ROOT")


class Identities:
    """The accounts' metadata servers, each started at its first use, on its last port if that is free."""

    def __init__(self, iam: Iam, ports: Ports) -> None:
        self._iam = iam
        self._ports = ports
        self._lock = threading.Lock()
        self._servers: dict[str, MetadataServer] = {}
        self._stack = contextlib.ExitStack()

    def variables(self, account: str) -> dict[str, str]:
        """Return the variables for the metadata server of an account, given by short name or address."""
        address = email(account)
        with self._lock:
            if address not in self._servers:
                self._servers[address] = self._start(address)
            return dict.fromkeys(_VARIABLES, self._servers[address].address)

    def close(self) -> None:
        """End the servers."""
        self._stack.close()

    def _start(self, address: str) -> MetadataServer:
        identity = Identity(PROJECT, address, (CLOUD_PLATFORM,), None, {})
        server = self._ports.bound(
            f"metadata-{address}",
            lambda port: MetadataServer(lambda: identity, self._iam, port),
            lambda made: int(made.address.rpartition(":")[2]),
        )
        server.start()
        self._stack.callback(server.close)
        return server
