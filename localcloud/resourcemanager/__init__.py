"""The Resource Manager API, as far as a preflight asks it: what the project is, and what the caller may do in it."""

from localcloud.resourcemanager.service import ResourceManagerService, ResourceManagerV1Service

__all__ = ["ResourceManagerService", "ResourceManagerV1Service"]
