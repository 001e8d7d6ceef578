"""Organization policies of the project: what a run that one of them forbids ends with, and what it allows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import ExitCode
from localcloud.core.iam import Iam
from localcloud.services.storage import StorageService
from tests.integration.cloud_fixture import CloudFixture, opened
from tests.integration.simulated_guests import green

Allowed = tuple[str, ...]
ZONES = "us-central1-a,us-east1-b"


@contextlib.contextmanager
def under(
    policy: tuple[str, Allowed], folder: Path, storage: StorageService, identities: Iam
) -> Iterator[CloudFixture]:
    """A project with this policy, whose VMs run their notebooks."""
    with opened(folder / "cloud", storage, identities, policies=dict([policy])) as cloud:
        cloud.guests = [green]
        yield cloud


@pytest.mark.parametrize(
    ("constraint", "allowed", "options", "words", "advice"),
    [
        pytest.param(
            "compute.requireShieldedVm",
            (),
            {"NB_SECURE_BOOT": "false"},
            "violated for project projects/local-project. Secure Boot is not enabled",
            "Set NB_SECURE_BOOT=true, with an image that supports UEFI.",
            id="requireShieldedVm",
        ),
        pytest.param(
            "compute.trustedImageProjects",
            ("projects/ubuntu-os-cloud",),
            {},
            "Use of images from project debian-cloud is prohibited.",
            "Set NB_IMAGE_PROJECT and NB_IMAGE_FAMILY to an image of a project that the policy allows",
            id="trustedImageProjects",
        ),
        pytest.param(
            "compute.vmExternalIpAccess",
            (),
            {"NB_EXTERNAL_IP": "true"},
            "to the constraint to use external IP with it.",
            "Unset NB_EXTERNAL_IP",
            id="vmExternalIpAccess",
        ),
        pytest.param(
            "gcp.resourceLocations",
            ("europe-west4",),
            {},
            "Location ZONE:us-central1-a violates constraint constraints/gcp.resourceLocations",
            "Set NB_ZONES to zones in a location that the policy allows.",
            id="resourceLocations",
        ),
    ],
)
def test_what_a_policy_forbids_is_4_with_the_option_that_follows_it(
    tmp_path: Path,
    storage: StorageService,
    identities: Iam,
    *,
    constraint: str,
    allowed: Allowed,
    options: dict[str, str],
    words: str,
    advice: str,
) -> None:
    with under((constraint, allowed), tmp_path, storage, identities) as cloud:
        plan = cloud.plan(tmp_path / "repo", **{"NB_ZONES": ZONES, **options})
        assert cloud.run(plan) is ExitCode.PROJECT_SETUP, cloud.log.getvalue()
        said = cloud.log.getvalue()
        assert f"constraints/{constraint}" in said
        assert words in said
        assert advice in said
        assert "run again" not in said.lower()
        assert (cloud.inserted(), cloud.left()) == ([], [])


@pytest.mark.parametrize(
    ("constraint", "allowed", "options"),
    [
        pytest.param("compute.requireShieldedVm", (), {}, id="requireShieldedVm"),
        pytest.param(
            "compute.trustedImageProjects", ("projects/debian-cloud",), {}, id="trustedImageProjects"
        ),
        pytest.param("compute.vmExternalIpAccess", (), {}, id="vmExternalIpAccess"),
        pytest.param("gcp.resourceLocations", ("us-east1",), {}, id="resourceLocations"),
    ],
)
def test_a_run_that_follows_a_policy_is_green(
    tmp_path: Path,
    storage: StorageService,
    identities: Iam,
    *,
    constraint: str,
    allowed: Allowed,
    options: dict[str, str],
) -> None:
    """The default options follow those about addresses and Secure Boot; a run moves on to a zone that is allowed."""
    with under((constraint, allowed), tmp_path, storage, identities) as cloud:
        plan = cloud.plan(tmp_path / "repo", **{"NB_ZONES": ZONES, **options})
        assert cloud.run(plan) is ExitCode.GREEN, cloud.log.getvalue()
        assert len(cloud.inserted()) == 1
