"""The secrets of the project: in memory, and one file each that only its owner can read."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path

from localcloud.clock import Clock
from localcloud.iam import Iam
from localcloud.secretmanager import names
from localcloud.secretmanager.model import Secret, from_json, to_json
from localcloud.secretmanager.refusals import no_such_secret

_FILE = "secret.json"


class Store:
    """Secrets by id. Hold `lock` from a read to the write that depends on it.

    A secret whose time is over is gone, file and policy too, with the first look at the store after that. `folder` is made
    when missing; what is there from an earlier run is read, and its policies are bound again.
    """

    def __init__(self, folder: Path, clock: Clock, iam: Iam) -> None:
        self.lock = threading.RLock()
        self._folder = folder
        self._clock = clock
        self._iam = iam
        self._last_etag = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        kept = (from_json(json.loads(file.read_bytes())) for file in sorted(folder.glob(f"*/{_FILE}")))
        self._secrets = {secret.id: secret for secret in kept}
        for secret in self._secrets.values():
            if secret.policy is not None:
                bindings = secret.policy.get("bindings", [])
                iam.bind(names.secret_name(secret.id), {"bindings": bindings})

    def all(self) -> list[Secret]:
        """Return every secret, the newest first."""
        with self.lock:
            self._drop_expired()
            return sorted(
                self._secrets.values(), key=lambda secret: (secret.created, secret.id), reverse=True
            )

    def find(self, secret: str) -> Secret | None:
        """Return a secret by id; None where there is none."""
        with self.lock:
            self._drop_expired()
            return self._secrets.get(secret)

    def get(self, secret: str) -> Secret:
        """Return a secret by id; raises `ApiError` 404."""
        found = self.find(secret)
        if found is None:
            raise no_such_secret(names.secret_name(secret))
        return found

    def put(self, secret: Secret) -> None:
        """Keep a secret, new or changed; on disk when this returns."""
        with self.lock:
            folder = self._folder / secret.id
            folder.mkdir(mode=0o700, exist_ok=True)
            _write(folder / _FILE, json.dumps(to_json(secret)).encode())
            self._secrets[secret.id] = secret

    def remove(self, secret: str) -> None:
        """Forget a secret, its payloads and its policy."""
        with self.lock:
            shutil.rmtree(self._folder / secret)
            del self._secrets[secret]
            self._iam.unbind(names.secret_name(secret))

    def etag(self) -> str:
        """Return an etag that no other resource has had, with the quotes that are part of Google's."""
        with self.lock:
            self._last_etag = max(self._last_etag + 1, int(self._clock.now() * 1_000_000))
            return f'"{self._last_etag:x}"'

    def _drop_expired(self) -> None:
        now = self._clock.now()
        for secret in list(self._secrets.values()):
            if secret.settings.expires is not None and secret.settings.expires <= now:
                self.remove(secret.id)


def _write(file: Path, content: bytes) -> None:
    """Replace a file at once, never readable for others: a crash leaves the old content or the new."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:  # noqa: PTH123  Path.open takes no mode bits
        opened.write(content)
    fresh.replace(file)
