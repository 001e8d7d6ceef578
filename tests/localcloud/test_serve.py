"""`python -m localcloud serve`: its output, its control routes, and its state directory over a restart."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.cloud import Cloud
from localcloud.core.caller import Caller
from localcloud.core.http import Listener, json_response
from localcloud.core.iam import email
from localcloud.profile import EMPTY, FIRST_BUCKET
from tests.owner import signed
from tests.patience import PATIENCE

SERVE = [sys.executable, "-m", "localcloud", "serve"]


class Serve:
    """A running `serve`, and the variables it printed."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while not self.lines or not self.lines[-1].startswith("export all_proxy="):
            self.lines.append(self.process.stdout.readline())
            assert self.lines[-1], "serve ended early"
        script = (
            "".join(self.lines) + 'exec python3 -c "import json, os; print(json.dumps(dict(os.environ)))"'
        )
        self.variables: dict[str, str] = json.loads(subprocess.check_output(["sh", "-c", script], text=True))
        self.url = self.variables["LOCALCLOUD_URL"]

    def get(self, path: str) -> requests.Response:
        """Call as the owner."""
        token = {"Authorization": f"Bearer {self.variables['LOCALCLOUD_OWNER_TOKEN']}"}
        return requests.get(f"{self.url}/{path}", headers=token, timeout=PATIENCE)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=PATIENCE)
        assert rest == ""
        return self.process.returncode


@pytest.fixture
def serve() -> Iterator[Callable[..., Serve]]:
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> Serve:
            serving = Serve(*options)
            stack.callback(serving.process.communicate)
            stack.callback(serving.process.kill)
            return serving

        yield start


def post(url: str, body: Any) -> requests.Response:
    return requests.post(url, json=body, timeout=PATIENCE)


def test_it_prints_only_exports_and_ends_on_sigterm(serve: Callable[..., Serve]) -> None:
    serving = serve()
    assert all(line.startswith("export ") for line in serving.lines)
    assert serving.variables["PROJECT_ID"] == serving.variables["GOOGLE_CLOUD_PROJECT"] == "local-project"
    addresses = {v for k, v in serving.variables.items() if k.startswith("CLOUDSDK_API_ENDPOINT_OVERRIDES_")}
    assert len(addresses) == 12  # one for each service
    assert serving.variables["GOOGLE_APPLICATION_CREDENTIALS"] == ""
    assert requests.get(f"{serving.url}/_localcloud/health", timeout=PATIENCE).json()["status"] == "ok"
    assert serving.stop() == 0


def test_a_new_project_is_served_and_its_user_is_told_that_nothing_is_sandboxed(
    serve: Callable[..., Serve], capfd: pytest.CaptureFixture[str]
) -> None:
    serving = serve("--project", "empty")
    assert "run unsandboxed, with your user's rights" in capfd.readouterr().err
    assert "items" not in serving.get("storage/v1/b?project=local-project").json()
    refused = serving.get("compute/v1/projects/local-project/zones")
    assert refused.status_code == 403
    assert refused.json()["error"]["details"][0]["reason"] == "SERVICE_DISABLED"


def test_a_policy_of_the_organization_is_in_force(serve: Callable[..., Serve]) -> None:
    serving = serve(
        "--policy", "gcp.resourceLocations=europe-west4,us-east1-b", "--policy", "compute.requireShieldedVm"
    )
    zone = "projects/local-project/zones/us-central1-a"
    disk = {"initializeParams": {"sourceImage": "projects/debian-cloud/global/images/family/debian-12"}}
    body = {
        "name": "nb-vm",
        "machineType": f"{zone}/machineTypes/e2-small",
        "disks": [{"boot": True, "autoDelete": True, **disk}],
        "networkInterfaces": [{"network": "global/networks/default"}],
    }
    token = {"Authorization": f"Bearer {serving.variables['LOCALCLOUD_OWNER_TOKEN']}"}
    answer = requests.post(
        f"{serving.url}/compute/v1/{zone}/instances", json=body, headers=token, timeout=PATIENCE
    )
    error = answer.json()["error"]
    assert (answer.status_code, error["errors"][0]["reason"]) == (412, "conditionNotMet"), error
    assert error["message"] == (
        f"Location ZONE:us-central1-a violates constraint constraints/gcp.resourceLocations on the resource {zone}/instances/nb-vm."
    )


def test_a_policy_that_localcloud_does_not_know_is_refused() -> None:
    command = [*SERVE, "--policy", "compute.skipDefaultNetworkCreation"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "compute.skipDefaultNetworkCreation is no constraint that localcloud enforces (compute.vm"
        in done.stderr
    )


def test_its_builds_run_in_containers_where_that_is_asked_for(
    serve: Callable[..., Serve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER", "false")  # an engine that never answers: the cloud has to say so
    path = "v1/projects/local-project/locations/us-central1/repositories/r/packages/p/tags/1"
    in_containers = serve("--runner", "docker").get(path)
    assert in_containers.status_code == 503
    assert "localcloud cannot look at its images" in in_containers.json()["error"]["message"]
    assert serve().get(path).status_code == 404


def test_ports_are_the_same_after_a_restart(serve: Callable[..., Serve], tmp_path: Path) -> None:
    first = serve("--state", str(tmp_path))
    first.stop()
    second = serve("--state", str(tmp_path))
    tokens = {first.variables.pop("LOCALCLOUD_OWNER_TOKEN"), second.variables.pop("LOCALCLOUD_OWNER_TOKEN")}
    assert (len(tokens), second.variables) == (2, first.variables)


def test_only_its_user_can_read_the_state(cloud: Cloud) -> None:
    file = Path(cloud.environment()["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"])
    assert file.read_text() == cloud.environment()["LOCALCLOUD_OWNER_TOKEN"] == cloud.iam.owner_token
    assert (cloud.state.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_state_directory_in_use_is_refused(serve: Callable[..., Serve], tmp_path: Path) -> None:
    serve("--state", str(tmp_path))
    done = subprocess.run(
        [*SERVE, "--state", str(tmp_path)], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert "another localcloud works on the state directory" in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_refused(serve: Callable[..., Serve]) -> None:
    port = serve().url.rpartition(":")[2]
    done = subprocess.run(
        [*SERVE, "--port", port], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 2
    assert "Address already in use" in done.stderr


def test_the_remembered_port_is_given_up_when_another_program_has_it(tmp_path: Path) -> None:
    with Cloud(tmp_path) as cloud:
        old = cloud.url
    squatter = Listener(lambda _request: json_response({}), int(old.rpartition(":")[2]))
    try:
        with Cloud(tmp_path) as cloud:
            assert cloud.url != old
    finally:
        squatter.close()


def test_a_folder_of_somebody_else_s_is_not_emptied(tmp_path: Path) -> None:
    precious = tmp_path / "vms" / "mine" / "file"
    precious.parent.mkdir(parents=True)
    precious.touch()
    with pytest.raises(FileExistsError, match="choose another state directory"), Cloud(tmp_path):
        pass
    assert precious.exists()


@pytest.mark.parametrize("name", ["notes.txt", "storage-scratch", "iam"])
def test_a_folder_with_files_of_somebody_else_s_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    mode = tmp_path.stat().st_mode
    with pytest.raises(FileExistsError, match=f"has {name}, which is not localcloud's"), Cloud(tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert tmp_path.stat().st_mode == mode


def test_accounts_have_their_rights_on_a_bucket_whose_folder_was_there_first(tmp_path: Path) -> None:
    file = tmp_path / "storage" / FIRST_BUCKET / "notebooks" / "data.csv"
    file.parent.mkdir(parents=True)
    file.write_text("a,b\n")
    (tmp_path / "storage" / "mine").mkdir()
    with Cloud(tmp_path, buckets=["mine"]) as cloud:
        for bucket in (FIRST_BUCKET, "mine"):
            caller = Caller(email("notebook-deployer"))
            resource = f"projects/_/buckets/{bucket}/objects/notebooks/data.csv"
            assert cloud.iam.allowed(caller, "storage.objects.get", resource)


def test_a_policy_that_was_emptied_stays_so_over_a_restart(tmp_path: Path) -> None:
    resource = f"projects/_/buckets/{FIRST_BUCKET}"
    with Cloud(tmp_path) as cloud:
        cloud.iam.policies.set(resource, {"bindings": []})
    with Cloud(tmp_path) as cloud:
        assert "bindings" not in cloud.iam.policies.get(resource)


def test_a_state_directory_is_for_one_project(tmp_path: Path) -> None:
    with Cloud(tmp_path):
        pass
    with pytest.raises(FileExistsError, match="was started with --project default"):
        Cloud(tmp_path, profile=EMPTY).start()
    with Cloud(tmp_path):
        pass


def test_the_clock_is_moved_from_outside(cloud: Cloud) -> None:
    fired: list[int] = []
    before = cloud.clock.now()
    cloud.clock.call_later(3600, lambda: fired.append(1))
    answer = post(f"{cloud.url}/_localcloud/clock", {"advance": 3600})
    assert answer.json()["now"] == pytest.approx(before + 3600, abs=5)
    assert fired == [1]


@pytest.mark.parametrize(
    "body",
    [{"advance": -1}, {"advance": 1e18}, {"advance": "1"}, {"advance": True}, {}, []],
    ids=["backwards", "to a year that no time has", "text", "boolean", "nothing", "list"],
)
def test_a_bad_clock_move_is_a_400(cloud: Cloud, body: Any) -> None:
    assert post(f"{cloud.url}/_localcloud/clock", body).status_code == 400


def test_faults_are_planned_from_outside_and_show_in_the_inventory(cloud: Cloud) -> None:
    url = f"{cloud.url}/_localcloud/faults"
    assert post(url, [{"method": "compute.zones.list", "action": "drop_before"}]).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(
            f"{cloud.url}/compute/v1/projects/local-project/zones",
            headers=signed(cloud.iam),
            timeout=PATIENCE,
        )
    shown = requests.get(f"{cloud.url}/_localcloud/inventory", timeout=PATIENCE).json()["faults"]
    assert [fault["consumed"] for fault in shown] == [1]
    refused = post(url, [{"method": "compute.zones.list", "action": "explode"}])
    assert refused.status_code == 400
    assert "explode" in refused.text
    unknown = post(url, [{"method": "compute.zone.list", "action": "drop_before"}])
    assert (unknown.status_code, "'compute.zones.list'" in unknown.text) == (400, True)
    assert post(url, {"method": "x"}).status_code == 400


def test_an_unknown_control_route_names_the_known_ones(cloud: Cloud) -> None:
    answer = requests.get(f"{cloud.url}/_localcloud/nothing", timeout=PATIENCE)
    assert answer.status_code == 404
    assert "POST /_localcloud/clock" in answer.text


def test_each_account_has_an_identity_of_its_own(cloud: Cloud) -> None:
    for account in ("builder", "deployer"):
        address = cloud.environment(account)["GCE_METADATA_HOST"]
        url = f"http://{address}/computeMetadata/v1/instance/service-accounts/default/email"
        assert requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=PATIENCE).text == email(
            account
        )


def test_a_malformed_fault_or_bucket_is_reported_and_nothing_stays_running(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown fault action"):
        Cloud(tmp_path, faults=[{"method": "x", "action": "y"}])
    with pytest.raises(ValueError, match="cannot be made"):
        Cloud(tmp_path, buckets=["NO"]).start()
    with Cloud(tmp_path):
        pass
