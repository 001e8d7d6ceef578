"""Tests that as few of the kit's packages come before the image's as the kernel's requirements allow."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from builder.vm.runner.image_packages import Package
from builder.vm.runner.kernel_packages import replaced

KERNEL = {
    "ipykernel": ("7.4", ["client>=8", "wire>=6", "debugger>=1", "other>=9; sys_platform == 'win32'"]),
    "client": ("8.10", ["typing>=4.13", "wire>=6"]),
    "typing": ("4.15", []),
    "wire": ("6.6", []),
}
KIT = {name: Package(name, version, requires=tuple(lines)) for name, (version, lines) in KERNEL.items()}


@pytest.mark.parametrize(
    ("image", "told"),
    [
        pytest.param({}, [], id="an image without packages"),
        pytest.param({"typing": ("4.13.0", [])}, [], id="new enough"),
        pytest.param({"typing": ("5.0rc1", [])}, [], id="a pre-release is new enough"),
        pytest.param(
            {"typing": ("4.10", [])},
            ["typing of the kit (4.15) comes before the image's 4.10: client needs >=4.13"],
            id="too old",
        ),
        pytest.param(
            {"debugger": ("0.1", []), "other": ("1", [])}, [], id="of packages that the kit has not"
        ),
        pytest.param({"typing": ("4.x-unknown", [])}, [], id="a version that cannot be compared"),
        pytest.param(
            {"client": ("7.0", ["typing>=4"]), "typing": ("4.10", [])},
            [
                "client of the kit (8.10) comes before the image's 7.0: ipykernel needs >=8",
                "typing of the kit (4.15) comes before the image's 4.10: client needs >=4.13",
            ],
            id="what the kit's in its place requires counts",
        ),
        pytest.param(
            {
                "ipykernel": ("6.29", ["client>=6", "wire<7"]),
                "client": ("8.0", ["wire<6"]),
                "wire": ("5.0", []),
            },
            [],
            id="an old kernel whose packages fit each other",
        ),
        pytest.param(
            {"client": ("8.0", ["wire<6", "not a requirement!"]), "wire": ("5.0", [])},
            [
                "wire of the kit (6.6) comes before the image's 5.0: ipykernel needs >=6",
                "client of the kit (8.10) comes before the image's 8.0: it needs wire <6, not 6.6",
            ],
            id="what stands beside the kit's must fit it",
        ),
        pytest.param(
            {"client": ("8.0", ["wire>=9; extra == 'fast'"]), "wire": ("6.0", [])},
            [],
            id="an extra's requirement",
        ),
    ],
)
def test_the_kits_packages_come_first_where_the_images_do_not_fit(
    image: Mapping[str, tuple[str, list[str]]], told: list[str]
) -> None:
    installed = [Package(name, version, requires=tuple(lines)) for name, (version, lines) in image.items()]
    assert list(replaced(KIT, installed, ()).values()) == [f"kernel: {line}" for line in told]


def test_a_required_package_is_not_reported_as_the_images() -> None:
    assert replaced(KIT, [Package("typing", "4.15")], [Package("typing", "4.5")]) == {
        "typing": "kernel: typing of the kit (4.15) comes before the requirements' 4.5: client needs >=4.13"
    }
