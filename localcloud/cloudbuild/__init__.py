"""Cloud Build: builds of the v1 API, whose steps run as processes or in containers."""

from localcloud.cloudbuild.service import BuildService

__all__ = ["BuildService"]
