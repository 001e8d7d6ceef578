"""The metadata server of a VM or of a process: its identity, attributes and tokens."""

from localcloud.core.metadata.server import MetadataServer
from localcloud.core.metadata.tree import Identity

__all__ = ["Identity", "MetadataServer"]
