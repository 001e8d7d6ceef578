"""Artifact Registry, read only: which digest an image's tag means."""

from localcloud.artifactregistry.service import ArtifactRegistryService

__all__ = ["ArtifactRegistryService"]
