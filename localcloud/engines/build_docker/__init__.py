"""Steps as containers of a Docker engine, through its command line client."""

from localcloud.engines.build_docker.runner import DockerRunner

__all__ = ["DockerRunner"]
