"""Secret Manager: secrets, their versions, and who may read them."""

from localcloud.secretmanager.service import SecretManagerService

__all__ = ["SecretManagerService"]
