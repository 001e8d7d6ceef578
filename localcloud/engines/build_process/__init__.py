"""Steps as processes, each in its own mount namespace. Programs of this machine replace images."""

from localcloud.engines.build_process.runner import ProcessRunner

__all__ = ["ProcessRunner"]
