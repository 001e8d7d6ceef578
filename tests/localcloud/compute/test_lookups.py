"""Lookups: catalogue, lists, filters, pages."""

from __future__ import annotations

from typing import Any

import pytest
from google.api_core.exceptions import BadRequest, Forbidden, MethodNotImplemented, NotFound
from google.cloud import compute_v1

from localcloud.core.iam import PROJECT
from tests.localcloud.compute.conftest import ZONE, CloudFixture, vm_body

_DLVM = "deeplearning-platform-release"
_CURRENT = [
    f"{kind}-cu129-ubuntu-{system}-nvidia-580"
    for kind in ("common", "pytorch-2-9")
    for system in ("2204", "2404")
]


@pytest.mark.parametrize("family", _CURRENT)
def test_current_families_resolve_to_an_image_that_can_be_got_by_name(
    cloud_fixture: CloudFixture, family: str
) -> None:
    client = cloud_fixture.client(compute_v1.ImagesClient, "notebook-builder")
    image = client.get_from_family(project=_DLVM, family=family)
    assert image.family == family
    assert image.disk_size_gb == 50
    assert client.get(project=_DLVM, image=image.name).self_link == image.self_link


def test_deprecated_families_are_gone_and_their_images_are_not(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client(compute_v1.ImagesClient)
    family = "pytorch-2-7-cu128-ubuntu-2204-nvidia-570"
    with pytest.raises(NotFound) as caught:
        client.get_from_family(project=_DLVM, family=family)
    path = f"projects/{_DLVM}/global/images/family/{family}"
    assert caught.value.message.endswith(f"The resource '{path}' was not found")
    image = client.get(project=_DLVM, image=f"{family}-v20260330")
    assert image.deprecated.state == "DEPRECATED"
    (listed,) = (found for found in client.list(project=_DLVM) if found.family == family)
    assert listed.deprecated.state == "DEPRECATED"


def test_system_images_and_their_families(cloud_fixture: CloudFixture) -> None:
    client = cloud_fixture.client(compute_v1.ImagesClient)
    assert client.get_from_family(project="debian-cloud", family="debian-12").disk_size_gb == 10
    assert client.get_from_family(project="ubuntu-os-cloud", family="ubuntu-2404-lts-amd64").status == "READY"


def test_the_catalogue_by_zone(cloud_fixture: CloudFixture) -> None:
    machines = cloud_fixture.client(compute_v1.MachineTypesClient)
    found = machines.get(project=PROJECT, zone=ZONE, machine_type="n1-standard-8")
    assert (found.guest_cpus, found.memory_mb) == (8, 30720)
    l4 = machines.get(project=PROJECT, zone=ZONE, machine_type="g2-standard-4")
    assert (l4.accelerators[0].guest_accelerator_type, l4.accelerators[0].guest_accelerator_count) == (
        "nvidia-l4",
        1,
    )
    with pytest.raises(NotFound, match="machineTypes/g2-standard-4' was not found"):
        machines.get(project=PROJECT, zone="us-central1-f", machine_type="g2-standard-4")
    gpus = cloud_fixture.client(compute_v1.AcceleratorTypesClient)
    with_t4 = {
        zone.name
        for zone in cloud_fixture.client(compute_v1.ZonesClient).list(project=PROJECT)
        if "nvidia-tesla-t4" in {gpu.name for gpu in gpus.list(project=PROJECT, zone=zone.name)}
    }
    assert ZONE in with_t4
    assert "us-east1-b" not in with_t4


def test_regions_networks_and_the_project(cloud_fixture: CloudFixture) -> None:
    region = cloud_fixture.client(compute_v1.RegionsClient).get(project=PROJECT, region="us-central1")
    assert [zone.rpartition("/")[2][-1] for zone in region.zones] == ["a", "b", "c", "f"]
    quotas = {
        quota.metric: quota.limit
        for quota in cloud_fixture.client(compute_v1.ProjectsClient).get(project=PROJECT).quotas
    }
    assert quotas["GPUS_ALL_REGIONS"] == 8
    subnetwork = cloud_fixture.client(compute_v1.SubnetworksClient).get(
        project=PROJECT, region="us-central1", subnetwork="default"
    )
    assert subnetwork.private_ip_google_access
    network = cloud_fixture.client(compute_v1.NetworksClient).get(project=PROJECT, network="default")
    assert len(network.subnetworks) == 5
    with pytest.raises(NotFound, match="regions/us-none1' was not found"):
        cloud_fixture.client(compute_v1.RegionsClient).get(project=PROJECT, region="us-none1")
    with pytest.raises(NotFound, match="zones/us-none1-a' was not found"):
        cloud_fixture.instances.get(project=PROJECT, zone="us-none1-a", instance="x")


def test_another_project_is_forbidden_to_the_builder_and_to_the_owner(cloud_fixture: CloudFixture) -> None:
    builders = cloud_fixture.client(compute_v1.InstancesClient, "notebook-builder")
    for client in (builders, cloud_fixture.instances):
        with pytest.raises(Forbidden, match="permission for 'projects/other'"):
            client.list(project="other", zone=ZONE)


def _names(cloud_fixture: CloudFixture, query: str) -> list[str]:
    request = compute_v1.ListInstancesRequest(project=PROJECT, zone=ZONE, filter=query)
    return [found.name for found in cloud_fixture.instances.list(request=request)]


def test_filters(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.insert(vm_body("one", labels={"nb-tool": "x", "nb-run": "1"}))
    cloud_fixture.insert(vm_body("two", labels={"nb-tool": "x"}))
    cloud_fixture.run(vm_body("three"))
    assert _names(cloud_fixture, "labels.nb-tool=x") == ["one", "two"]
    assert _names(cloud_fixture, "labels.nb-run:*") == ["one"]
    assert _names(cloud_fixture, 'labels.nb-tool=x AND name="two"') == ["two"]
    assert _names(cloud_fixture, "(labels.nb-tool=x) AND (status=RUNNING)") == ["one", "two"]
    assert _names(cloud_fixture, "labels.nb-tool!=x") == ["three"]
    assert _names(cloud_fixture, "name eq t.*") == ["three", "two"]
    assert _names(cloud_fixture, "(name eq t.*) (status eq RUNNING)") == ["three", "two"]
    assert _names(cloud_fixture, "name ne t.*") == ["one"]
    assert _names(cloud_fixture, "name:t*") == ["three", "two"]
    assert _names(cloud_fixture, "scheduling.automaticRestart=false") == []
    for bad in (
        "name",
        "name = a name = b",
        "name=a OR name=b",
        "name=a AND name eq b",
        "(name=a",
        "name eq [",
    ):
        with pytest.raises(BadRequest, match="Invalid list filter expression"):
            _names(cloud_fixture, bad)


def test_a_colon_on_a_target_link_finds_nothing_and_equality_does(cloud_fixture: CloudFixture) -> None:
    done = cloud_fixture.done(cloud_fixture.insert(vm_body()))
    client = cloud_fixture.client(compute_v1.ZoneOperationsClient)

    def found(query: str) -> int:
        request = compute_v1.ListZoneOperationsRequest(project=PROJECT, zone=ZONE, filter=query)
        return len(list(client.list(request=request)))

    assert found('operationType="insert" AND targetLink:instances/vm-1') == 0
    assert found(f'operationType="insert" AND targetLink="{done.target_link}"') == 1


def test_pages_and_order(cloud_fixture: CloudFixture) -> None:
    for name in ("b", "a", "c"):
        cloud_fixture.insert(vm_body(name))
    request = compute_v1.ListInstancesRequest(project=PROJECT, zone=ZONE, max_results=2)
    pages = [
        [found.name for found in page.items] for page in cloud_fixture.instances.list(request=request).pages
    ]
    assert pages == [["a", "b"], ["c"]]
    request.max_results = 3
    assert len(list(cloud_fixture.instances.list(request=request).pages)) == 1
    for bad in ({"page_token": "%"}, {"max_results": 501}):
        with pytest.raises(BadRequest):
            cloud_fixture.instances.list(
                request=compute_v1.ListInstancesRequest(project=PROJECT, zone=ZONE, **bad)
            )
    request = compute_v1.ListInstancesRequest(project=PROJECT, zone=ZONE, order_by="creationTimestamp desc")
    with pytest.raises(MethodNotImplemented, match="is not covered"):
        cloud_fixture.instances.list(request=request)


def test_an_aggregated_list_has_every_zone(cloud_fixture: CloudFixture) -> None:
    cloud_fixture.insert(vm_body(labels={"nb-tool": "x"}))
    east = vm_body(machineType="zones/us-east1-b/machineTypes/e2-small", labels={"nb-tool": "x"})
    cloud_fixture.insert(east, zone="us-east1-b")
    cloud_fixture.insert(vm_body("other"))
    request = compute_v1.AggregatedListInstancesRequest(project=PROJECT, filter="labels.nb-tool=x")
    zones: dict[str, Any] = dict(cloud_fixture.instances.aggregated_list(request=request))
    assert len(zones) == 16
    assert [found.name for found in zones[f"zones/{ZONE}"].instances] == ["vm-1"]
    assert [found.name for found in zones["zones/us-east1-b"].instances] == ["vm-1"]
    empty = zones["zones/us-west1-a"]
    assert (list(empty.instances), empty.warning.code) == ([], "NO_RESULTS_ON_PAGE")
