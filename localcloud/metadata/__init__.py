"""The metadata server of a VM or of a process: who it is, its attributes, and its tokens."""

from localcloud.metadata.server import MetadataServer
from localcloud.metadata.tree import Identity

__all__ = ["Identity", "MetadataServer"]
