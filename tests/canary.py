"""A secret's value that must be found nowhere.

How to make it, and how to look for it in all that a local cloud ever got.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from google.cloud import secretmanager_v1
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core import http
from localcloud.services.compute.state_serial import SerialPort

PROJECT = "projects/local-project"
VM = "serviceAccount:notebook-vm@local-project.iam.gserviceaccount.com"
ACCESSOR = "roles/secretmanager.secretAccessor"
STORE = "secretmanager"  # where Secret Manager itself keeps values, below the state directory


def client(cloud: Cloud) -> Any:
    """Google's client, as the project's owner."""
    return secretmanager_v1.SecretManagerServiceClient(
        credentials=Credentials(token=cloud.iam.owner_token),
        transport="rest",
        client_options={"api_endpoint": cloud.url},
    )


def make_secret(cloud: Cloud, secret_id: str, *values: bytes, granted: bool = True) -> str:
    """A secret with these versions, which the VM's account may read; its name."""
    google = client(cloud)
    name = f"{PROJECT}/secrets/{secret_id}"
    google.create_secret(parent=PROJECT, secret_id=secret_id, secret={"replication": {"automatic": {}}})
    for value in values:
        google.add_secret_version(parent=name, payload={"data": value})
    if granted:
        policy = {"bindings": [{"role": ACCESSOR, "members": [VM]}]}
        google.set_iam_policy(request={"resource": name, "policy": policy})
    return name


def shapes(value: str) -> dict[str, bytes]:
    """Return the forms that no file may have: the value, its halves, and its encodings, without the product's code."""
    data, half = value.encode(), len(value) // 2
    found = {
        "raw": data,
        "first half": data[:half],
        "second half": data[half:],
        "JSON": json.dumps(value)[1:-1].encode(),
        "JSON in JSON": json.dumps(json.dumps(value))[3:-3].encode(),
        "repr": repr(value)[1:-1].encode(),
        "URL": quote(value, safe="").encode(),
        "hex": data.hex().encode(),
        "HEX": data.hex().upper().encode(),
        "UTF-16": value.encode("utf-16-le"),
        "reversed base64": base64.b64encode(data)[::-1],
    }
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + data)
        found[f"base64 after {before}"] = whole[4 if before else 0 : -4]
    return found


def assert_absent(values: Mapping[str, str], places: Mapping[str, bytes]) -> None:
    """None of the values, in no shape, in any of these places."""
    leaks = [
        f"{name} ({shape}) in {place}: …{content[max(0, content.find(needle) - 60) : content.find(needle)]!r}"
        for name, value in values.items()
        for shape, needle in shapes(value).items()
        for place, content in places.items()
        if needle in content
    ]
    assert not leaks, "\n".join(leaks)


def stored(state: Path) -> dict[str, bytes]:
    """Every file below a state directory but Secret Manager's own."""
    files = [path for path in state.rglob("*") if path.is_file() and not path.is_symlink()]
    found = {str(path.relative_to(state)): path for path in files}
    return {
        name: path.read_bytes() + name.encode() for name, path in found.items() if not name.startswith(STORE)
    }


class _Tee(io.RawIOBase):
    """Keeps a copy of what is read."""

    def __init__(self, source: Any, kept: bytearray) -> None:
        self._source = source
        self._kept = kept

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._keep(self._source.read(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._keep(self._source.readline(-1 if size is None else size))

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._source.close()

    def _keep(self, data: bytes) -> bytes:
        self._kept += data
        return data


@contextlib.contextmanager
def recorded() -> Iterator[Callable[[], dict[str, bytes]]]:
    """Record each byte sent to local clouds of this process on new connections, and what VMs write to serial ports."""
    connections: list[bytearray] = []
    serial = bytearray()
    lock = threading.Lock()
    handlers: Any = http._Handler
    ports: Any = SerialPort
    setup, write = handlers.setup, ports.write

    def setup_with_tee(handler: Any) -> None:
        setup(handler)
        kept = bytearray()
        with lock:
            connections.append(kept)
        handler.rfile = _Tee(handler.rfile, kept)

    def write_with_copy(port: Any, data: bytes) -> None:
        with lock:
            serial.extend(data)
        write(port, data)

    handlers.setup, ports.write = setup_with_tee, write_with_copy
    try:
        yield lambda: {
            "the serial port": bytes(serial),
            **{f"connection {number}": bytes(kept) for number, kept in enumerate(connections)},
        }
    finally:
        handlers.setup, ports.write = setup, write
