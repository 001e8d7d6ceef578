"""The public images: their families, and the machine image that boots for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# Machine images (`localcloud.engines.vm.images`) that are named as a part of the families that boot them.
DISTRIBUTIONS = ("ubuntu-2404", "debian-12")
DEEP_LEARNING = "deeplearning-platform-release"


@dataclass(frozen=True)
class Image:
    """A public image. `state` is ACTIVE, DEPRECATED or OBSOLETE; `boots` names a machine image."""

    project: str
    name: str
    family: str
    size_gb: int
    state: str
    created: str
    boots: str
    description: str

    @property
    def path(self) -> str:
        """Its resource path, which works even without the family."""
        return f"projects/{self.project}/global/images/{self.name}"


def _boots(family: str) -> str:
    """The machine image for a family. The 2204 families boot a Python without packages: no image has CPython 3.10."""
    if family.startswith("pytorch-"):
        return "scientific"
    return next((image for image in DISTRIBUTIONS if image in family), "bare")


def _deep_learning(family: str, version: str, state: str) -> Image:
    created = f"{version[1:5]}-{version[5:7]}-{version[7:]}T08:00:00.000-07:00"
    text = f"Google, Deep Learning VM for {family}, {version}"
    return Image(DEEP_LEARNING, f"{family}-{version}", family, 50, state, created, _boots(family), text)


def _system(project: str, name: str, family: str, created: str) -> Image:
    return Image(project, name, family, 10, "ACTIVE", created, _boots(family), f"The system image {name}")


# Families of the documentation's table of 2026-04; since 2026-04-13 the nvidia-570 images are deprecated, so that
# their families resolve to nothing while their exact names still work.
IMAGES: tuple[Image, ...] = (
    _deep_learning("common-cu129-ubuntu-2404-nvidia-580", "v20261021", "ACTIVE"),
    _deep_learning("common-cu129-ubuntu-2204-nvidia-580", "v20261021", "ACTIVE"),
    _deep_learning("pytorch-2-9-cu129-ubuntu-2404-nvidia-580", "v20261021", "ACTIVE"),
    _deep_learning("pytorch-2-9-cu129-ubuntu-2204-nvidia-580", "v20261021", "ACTIVE"),
    _deep_learning("common-cu129-ubuntu-2404-nvidia-580", "v20260408", "DEPRECATED"),
    _deep_learning("common-cu128-ubuntu-2404-nvidia-570", "v20260330", "DEPRECATED"),
    _deep_learning("common-cu128-ubuntu-2204-nvidia-570", "v20260330", "DEPRECATED"),
    _deep_learning("pytorch-2-7-cu128-ubuntu-2204-nvidia-570", "v20260330", "DEPRECATED"),
    _deep_learning("tf-2-17-cu123-debian-11", "v20250701", "OBSOLETE"),
    _system(
        "ubuntu-os-cloud",
        "ubuntu-2404-noble-amd64-v20261104",
        "ubuntu-2404-lts-amd64",
        "2026-11-04T03:12:40.000-07:00",
    ),
    _system("debian-cloud", "debian-12-bookworm-v20261110", "debian-12", "2026-11-10T05:20:11.000-07:00"),
)
BY_NAME: Mapping[tuple[str, str], Image] = {(i.project, i.name): i for i in IMAGES}
PROJECTS: frozenset[str] = frozenset(i.project for i in IMAGES)


def by_family(project: str, family: str) -> Image | None:
    """Return the newest image of a family that is not deprecated; None without one."""
    usable = (i for i in IMAGES if (i.project, i.family, i.state) == (project, family, "ACTIVE"))
    return max(usable, key=lambda image: image.created, default=None)
