"""Networks: Private Google Access and Cloud NAT by Google's clients, and the VMs that they let reach Google's APIs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from google.api_core.exceptions import Conflict, NotFound
from google.cloud import compute_v1

from localcloud.core.iam import PROJECT
from localcloud.profile import EMPTY
from tests.localcloud.compute.conftest import QUICK, VM_ACCOUNT, CloudFixture, StandIn, vm_body
from tests.patience import PATIENCE

REGION = "us-central1"
EXTERNAL = [{"network": "global/networks/default", "accessConfigs": [{"type": "ONE_TO_ONE_NAT"}]}]


class NewProject(CloudFixture):
    """Compute Engine of a new project, whose server asks it which VMs it hears."""

    def serve(self, *services: Any, **more: Any) -> None:
        super().serve(*services, reaches=self.service.is_heard, **more)


@pytest.fixture
def new_project(tmp_path: Path) -> Iterator[Callable[[], NewProject]]:
    """Make it; a second call is a restart on the same state."""
    opened: list[NewProject] = []

    def start() -> NewProject:
        while opened:
            opened.pop().close()
        machines: list[StandIn] = []

        def boot(spec: Any, events: Any) -> StandIn:
            machines.append(StandIn(spec, events))
            return machines[-1]

        opened.append(NewProject(tmp_path, boot, pace=replace(QUICK, offline=300.0), profile=EMPTY))
        opened[0].machines = machines
        return opened[0]

    yield start
    opened.pop().close()


def access(fixture: CloudFixture, name: str = "default", region: str = REGION) -> bool:
    client = fixture.client(compute_v1.SubnetworksClient)
    return bool(client.get(project=PROJECT, region=region, subnetwork=name).private_ip_google_access)


def switch_on(fixture: CloudFixture, region: str = REGION) -> None:
    client = fixture.client(compute_v1.SubnetworksClient)
    asked = compute_v1.SubnetworksSetPrivateIpGoogleAccessRequest(private_ip_google_access=True)
    operation = client.set_private_ip_google_access_unary(
        project=PROJECT,
        region=region,
        subnetwork="default",
        subnetworks_set_private_ip_google_access_request_resource=asked,
    )
    done = fixture.client(compute_v1.RegionOperationsClient).wait(
        project=PROJECT, region=region, operation=operation.name
    )
    assert (done.status, done.region.rpartition("/")[2]) == (compute_v1.Operation.Status.DONE, region)


def asks(fixture: CloudFixture, machine: StandIn, *, seconds: float = PATIENCE) -> int:
    """Ask for the zones with a VM's token, as its programs do; returns the status, 0 for no answer in these seconds."""
    metadata = (
        f"http://{machine.spec.metadata_address}/computeMetadata/v1/instance/service-accounts/default/token"
    )
    token = requests.get(metadata, headers={"Metadata-Flavor": "Google"}, timeout=PATIENCE).json()[
        "access_token"
    ]
    url = f"{fixture.url}/compute/v1/projects/{PROJECT}/zones"
    try:
        return requests.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=seconds).status_code
    except requests.Timeout:
        return 0


def with_account(name: str, **changes: Any) -> Any:
    account = {"email": VM_ACCOUNT, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
    return vm_body(name, serviceAccounts=[account], **changes)


def test_a_new_project_has_one_network_without_private_google_access(
    new_project: Callable[[], NewProject],
) -> None:
    fixture = new_project()
    networks = fixture.client(compute_v1.NetworksClient).list(project=PROJECT)
    assert [network.name for network in networks] == ["default"]
    assert not access(fixture)
    everywhere = fixture.client(compute_v1.SubnetworksClient).aggregated_list(project=PROJECT)
    assert {each.name for _, scoped in everywhere for each in scoped.subnetworks} == {"default"}


def test_private_google_access_is_of_one_subnetwork_and_is_kept(
    new_project: Callable[[], NewProject],
) -> None:
    switch_on(new_project())
    again = new_project()
    assert access(again)
    assert not access(again, region="europe-west1")
    with pytest.raises(NotFound, match="subnetworks/other' was not found"):
        access(again, "other")


def test_a_vm_reaches_google_only_with_private_access_nat_or_an_address(
    new_project: Callable[[], NewProject],
) -> None:
    fixture = new_project()
    private = fixture.run(with_account("private"))
    public = fixture.run(with_account("public", networkInterfaces=EXTERNAL))
    assert (asks(fixture, private, seconds=3), asks(fixture, public)) == (0, 403)
    assert private.spec.variables["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert not public.spec.variables
    switch_on(fixture)
    assert asks(fixture, private) == 403  # Google answers: the account has no role


def test_cloud_nat_leads_to_the_internet(new_project: Callable[[], NewProject]) -> None:
    fixture = new_project()
    routers = fixture.client(compute_v1.RoutersClient)
    router = compute_v1.Router(name="router", network="global/networks/default")
    routers.insert_unary(project=PROJECT, region=REGION, router_resource=router)
    with pytest.raises(Conflict, match="already exists"):
        routers.insert_unary(project=PROJECT, region=REGION, router_resource=router)
    without = fixture.run(with_account("without"))
    nat = compute_v1.RouterNat(
        name="nat",
        nat_ip_allocate_option="AUTO_ONLY",
        source_subnetwork_ip_ranges_to_nat="ALL_SUBNETWORKS_ALL_IP_RANGES",
    )
    routers.patch_unary(
        project=PROJECT, region=REGION, router="router", router_resource=compute_v1.Router(nats=[nat])
    )
    behind = fixture.run(with_account("behind"))
    assert "HTTPS_PROXY" in without.spec.variables
    assert not behind.spec.variables
    assert asks(fixture, behind) == 403
    routers.delete_unary(project=PROJECT, region=REGION, router="router")
    assert asks(fixture, behind, seconds=3) == 0


def test_the_network_goes_down_before_a_preempted_vm_is_off(
    new_project: Callable[[], NewProject],
) -> None:
    fixture = new_project()
    switch_on(fixture)
    args = {"at": "go", "notice": 1000.0}  # the clock runs on by itself, too, also on a slow machine
    fixture.faults.add({"method": "vm.life", "action": "preempt", "args": args})
    machine = fixture.run(with_account("spot", scheduling={"provisioningModel": "SPOT"}))
    machine.events.serial(b"go")
    fixture.clock.advance(500)
    assert asks(fixture, machine) == 403
    fixture.clock.advance(300)
    assert (asks(fixture, machine, seconds=3), machine.killed) == (0, False)
    fixture.clock.advance(300)
    assert machine.killed


def test_a_new_project_has_small_quotas(new_project: Callable[[], NewProject]) -> None:
    project = new_project().client(compute_v1.ProjectsClient).get(project=PROJECT)
    limits = {quota.metric: quota.limit for quota in project.quotas}
    assert (limits["CPUS_ALL_REGIONS"], limits["GPUS_ALL_REGIONS"]) == (32, 0)
    region = new_project().client(compute_v1.RegionsClient).get(project=PROJECT, region=REGION)
    assert {quota.metric: quota.limit for quota in region.quotas}["SSD_TOTAL_GB"] == 500
