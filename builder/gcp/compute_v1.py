"""The part of google-cloud-compute that this project uses.

The library's own package loads the clients of some ninety services. This module imports the ones that a run calls, and
skips the package's `__init__`. Other code that imports the package still gets all of it: the first other attribute
loads the rest.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

_PACKAGE = "google.cloud.compute_v1"


def _enter(name: str) -> None:
    """Put the package into `sys.modules`, to be loaded whole at the first attribute that is no submodule of it."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    module, loader = importlib.util.module_from_spec(spec), spec.loader

    def load_whole(attribute: str) -> Any:
        if attribute.startswith("__") or importlib.util.find_spec(f"{name}.{attribute}"):
            raise AttributeError(attribute)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, attribute)

    module.__dict__["__getattr__"] = load_whole
    sys.modules[name] = module


_enter(_PACKAGE)

from google.cloud.compute_v1.services.accelerator_types import AcceleratorTypesClient  # noqa: E402
from google.cloud.compute_v1.services.images import ImagesClient  # noqa: E402
from google.cloud.compute_v1.services.instances import InstancesClient  # noqa: E402
from google.cloud.compute_v1.services.machine_types import MachineTypesClient  # noqa: E402
from google.cloud.compute_v1.services.networks import NetworksClient  # noqa: E402
from google.cloud.compute_v1.services.projects import ProjectsClient  # noqa: E402
from google.cloud.compute_v1.services.regions import RegionsClient  # noqa: E402
from google.cloud.compute_v1.services.subnetworks import SubnetworksClient  # noqa: E402
from google.cloud.compute_v1.services.zone_operations import ZoneOperationsClient  # noqa: E402
from google.cloud.compute_v1.types.compute import (  # noqa: E402
    AggregatedListAcceleratorTypesRequest,
    AggregatedListInstancesRequest,
    AggregatedListMachineTypesRequest,
    DeleteInstanceRequest,
    GetSerialPortOutputInstanceRequest,
    Image,
    InsertInstanceRequest,
    Instance,
    ListZoneOperationsRequest,
    Operation,
    Quota,
)

__all__ = [
    "AcceleratorTypesClient",
    "AggregatedListAcceleratorTypesRequest",
    "AggregatedListInstancesRequest",
    "AggregatedListMachineTypesRequest",
    "DeleteInstanceRequest",
    "GetSerialPortOutputInstanceRequest",
    "Image",
    "ImagesClient",
    "InsertInstanceRequest",
    "Instance",
    "InstancesClient",
    "ListZoneOperationsRequest",
    "MachineTypesClient",
    "NetworksClient",
    "Operation",
    "ProjectsClient",
    "Quota",
    "RegionsClient",
    "SubnetworksClient",
    "ZoneOperationsClient",
]
