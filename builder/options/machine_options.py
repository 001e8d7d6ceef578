"""The options of a job's virtual machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from builder.model import Accelerator
from builder.options import google_names
from builder.options.machine_types import DISK_TYPES, boot_disk_types, has_gpu, migrates
from builder.options.option import MACHINE, option
from builder.options.values import boolean, list_of, one_of, or_none, whole_number

PROVISIONING = ("standard", "spot", "spot-then-standard")
DEFAULT_REGION = "us-central1"
DEFAULT_IMAGE_FAMILY = "common-cu129-ubuntu-2404-nvidia-580"
DEFAULT_NETWORK = "default"


@dataclass(frozen=True, kw_only=True)
class MachineOptions:
    """The VM that a job asks for.

    `zones` holds names of zones and regions and is never empty. Exactly one of `image` and `image_family` is set.
    """

    zones: tuple[str, ...] = option(
        MACHINE,
        "Zones in order of preference; a region's name means its zones.",
        "us-central1-a,us-east1",
        list_of(google_names.zone_or_region, at_most=100),
        shown=f"the build's region, else `{DEFAULT_REGION}`",
    )
    machine_type: str = option(
        MACHINE,
        "The VM's machine type. `g2-`, `g4-`, `a2-`, `a3-` and `a4-` types have their GPUs built in.",
        "n1-standard-8",
        google_names.machine_type,
        default="e2-standard-4",
    )
    accelerator: Accelerator | None = option(
        MACHINE,
        "GPUs to attach to an `n1-` machine, `TYPE:COUNT`; `none` for none.",
        "nvidia-tesla-t4:1",
        or_none(google_names.accelerator),
        default=None,
    )
    image_family: str | None = option(
        MACHINE,
        "The image family. It is resolved once per run to an exact image, which the log names.",
        "common-cu129-ubuntu-2404-nvidia-580",
        google_names.image_family,
        default=None,
        shown=f"`{DEFAULT_IMAGE_FAMILY}`",
    )
    image: str | None = option(
        MACHINE,
        "An exact image, instead of a family.",
        "my-image-v20260701",
        google_names.image,
        default=None,
    )
    image_project: str = option(
        MACHINE,
        "The project that the image or its family is in.",
        "my-images",
        google_names.project,
        default="deeplearning-platform-release",
    )
    boot_disk_gb: int = option(
        MACHINE,
        "Size of the boot disk in GB; at least 40 with a GPU.",
        "200",
        whole_number(10, 65536, "GB"),
        default=50,
    )
    boot_disk_type: str | None = option(
        MACHINE,
        "Type of the boot disk. Series of the fourth generation and newer need `hyperdisk-balanced`; "
        "most older ones do not have it.",
        "pd-ssd",
        one_of(DISK_TYPES),
        default=None,
        shown="`pd-balanced` or `hyperdisk-balanced`, by machine series",
    )
    secure_boot: bool | None = option(
        MACHINE,
        "Switches Secure Boot on or off. With it, a GPU's driver loads only if it is signed.",
        "true",
        boolean,
        default=None,
        shown="on where the image supports UEFI and the VM has no GPU",
    )
    network: str | None = option(
        MACHINE,
        "The VPC network, by name or as projects/PROJECT/global/networks/NAME.",
        "ci",
        google_names.network,
        default=None,
        shown=f"`{DEFAULT_NETWORK}`, or the subnetwork's own",
    )
    subnetwork: str | None = option(
        MACHINE,
        "The subnetwork, by name or as projects/PROJECT/regions/REGION/subnetworks/NAME.",
        "ci-us",
        google_names.subnetwork,
        default=None,
    )
    external_ip: bool = option(
        MACHINE,
        "Gives the VM an external IP address.",
        "true",
        boolean,
        default=False,
    )
    vm_service_account: str = option(
        MACHINE,
        "The service account that the VM, and so the notebook, runs as.",
        "notebook-vm@my-project.iam.gserviceaccount.com",
        google_names.service_account,
        required=True,
    )
    labels: Mapping[str, str] = option(
        MACHINE,
        "Labels for the VM and its disk; keys that begin with `nb-` are this tool's own.",
        "team=data,cost-centre=42",
        google_names.labels,
        default={},
    )
    provisioning: str = option(
        MACHINE,
        "`standard`; `spot`, which costs far less and may be taken back at any time; or "
        "`spot-then-standard`, which uses a standard VM for the last attempt, or if no zone has a Spot VM.",
        "spot-then-standard",
        one_of(PROVISIONING),
        default="standard",
    )

    @property
    def series(self) -> str:
        """The machine type's series, such as `n1`."""
        return self.machine_type.partition("-")[0]

    @property
    def migrates(self) -> bool:
        """True if such a VM can migrate live to another host."""
        return migrates(self.machine_type) and not self.has_gpu

    @property
    def has_gpu(self) -> bool:
        """True if a GPU is attached or built in."""
        return has_gpu(self.machine_type, self.accelerator)

    @property
    def disk_type(self) -> str:
        """The boot disk's type."""
        return self.boot_disk_type or boot_disk_types(self.machine_type)[0]
