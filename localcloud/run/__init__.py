"""Cloud Run: the services that functions have, who may invoke them, and the instances that run them."""

from localcloud.run.instance import StartFailed
from localcloud.run.revision import Revision, Trigger
from localcloud.run.service import RunService

__all__ = ["Revision", "RunService", "StartFailed", "Trigger"]
