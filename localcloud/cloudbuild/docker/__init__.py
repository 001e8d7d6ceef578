"""Steps as containers of a Docker engine, which is asked through its command line client."""

from localcloud.cloudbuild.docker.runner import DockerRunner

__all__ = ["DockerRunner"]
