"""Cloud Storage: the real fake-gcs-server behind a thin proxy that enforces what it does not."""

from localcloud.storage.service import StorageService

__all__ = ["StorageService"]
