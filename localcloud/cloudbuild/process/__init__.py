"""Steps as processes: images that programs of this machine stand for, in a mount namespace of each step's own."""

from localcloud.cloudbuild.process.runner import ProcessRunner

__all__ = ["ProcessRunner"]
