"""`python -m localcloud serve`: what it prints, its control routes, and what its state directory remembers."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from localcloud.cloud import Cloud
from localcloud.iam import email
from localcloud.listener import Listener, json_response
from localcloud.state_folder import StateInUse

SERVE = [sys.executable, "-m", "localcloud", "serve"]


class Serve:
    """A running `serve`, and the variables it printed."""

    def __init__(self, *options: str) -> None:
        began = time.monotonic()
        self.process = subprocess.Popen([*SERVE, *options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.lines: list[str] = []
        while not self.lines or not self.lines[-1].startswith("export all_proxy="):
            self.lines.append(self.process.stdout.readline())
            assert self.lines[-1], "serve ended early"
        self.seconds = time.monotonic() - began
        script = (
            "".join(self.lines) + 'exec python3 -c "import json, os; print(json.dumps(dict(os.environ)))"'
        )
        self.variables: dict[str, str] = json.loads(subprocess.check_output(["sh", "-c", script], text=True))
        self.url = self.variables["LOCALCLOUD_URL"]

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        rest, _ = self.process.communicate(timeout=20)
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
    return requests.post(url, json=body, timeout=10)


def test_it_prints_only_exports_and_ends_on_sigterm(serve: Callable[..., Serve]) -> None:
    serving = serve()
    assert all(line.startswith("export ") for line in serving.lines)
    assert serving.variables["PROJECT_ID"] == serving.variables["GOOGLE_CLOUD_PROJECT"] == "local-project"
    assert serving.variables["CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE"] == serving.url
    assert serving.variables["GOOGLE_APPLICATION_CREDENTIALS"] == ""
    assert requests.get(f"{serving.url}/_localcloud/health", timeout=10).json()["status"] == "ok"
    assert serving.stop() == 0


def test_it_is_ready_within_three_seconds(serve: Callable[..., Serve]) -> None:
    assert min(serve().seconds for _ in range(2)) < 3


def test_its_builds_run_in_containers_where_that_is_asked_for(
    serve: Callable[..., Serve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER", "false")  # an engine that never answers: the cloud has to say so
    path = "v1/projects/local-project/locations/us-central1/repositories/r/packages/p/tags/1"
    in_containers = requests.get(f"{serve('--runner', 'docker').url}/{path}", timeout=20)
    assert in_containers.status_code == 503
    assert "localcloud cannot look at its images" in in_containers.json()["error"]["message"]
    assert requests.get(f"{serve().url}/{path}", timeout=20).status_code == 404


def test_ports_are_the_same_after_a_restart(serve: Callable[..., Serve], tmp_path: Path) -> None:
    first = serve("--state", str(tmp_path))
    first.stop()
    second = serve("--state", str(tmp_path))
    assert second.lines == first.lines


def test_a_state_directory_in_use_is_refused(serve: Callable[..., Serve], tmp_path: Path) -> None:
    serve("--state", str(tmp_path))
    done = subprocess.run(
        [*SERVE, "--state", str(tmp_path)], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert "another localcloud works on the state directory" in done.stderr
    assert done.stdout == ""


def test_a_port_that_is_taken_is_refused(serve: Callable[..., Serve]) -> None:
    port = serve().url.rpartition(":")[2]
    done = subprocess.run([*SERVE, "--port", port], capture_output=True, text=True, timeout=20, check=False)
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


def test_two_clouds_do_not_share_a_state_directory(cloud: Cloud) -> None:
    with pytest.raises(StateInUse), Cloud(cloud.state):
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
    [{"advance": -1}, {"advance": "1"}, {"advance": True}, {}, []],
    ids=["backwards", "text", "boolean", "nothing", "list"],
)
def test_a_bad_clock_move_is_a_400(cloud: Cloud, body: Any) -> None:
    assert post(f"{cloud.url}/_localcloud/clock", body).status_code == 400


def test_faults_are_planned_from_outside_and_show_in_the_inventory(cloud: Cloud) -> None:
    url = f"{cloud.url}/_localcloud/faults"
    assert post(url, [{"method": "compute.zones.list", "action": "drop_before"}]).status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{cloud.url}/compute/v1/projects/local-project/zones", timeout=10)
    shown = requests.get(f"{cloud.url}/_localcloud/inventory", timeout=10).json()["faults"]
    assert [fault["consumed"] for fault in shown] == [1]
    refused = post(url, [{"method": "compute.zones.list", "action": "explode"}])
    assert refused.status_code == 400
    assert "explode" in refused.text
    unknown = post(url, [{"method": "compute.zone.list", "action": "drop_before"}])
    assert (unknown.status_code, "'compute.zones.list'" in unknown.text) == (400, True)
    assert post(url, {"method": "x"}).status_code == 400


def test_an_unknown_control_route_names_the_known_ones(cloud: Cloud) -> None:
    answer = requests.get(f"{cloud.url}/_localcloud/nothing", timeout=10)
    assert answer.status_code == 404
    assert "POST /_localcloud/clock" in answer.text


def test_each_account_has_an_identity_of_its_own(cloud: Cloud) -> None:
    for account in ("builder", "deployer"):
        address = cloud.environment(account)["GCE_METADATA_HOST"]
        url = f"http://{address}/computeMetadata/v1/instance/service-accounts/default/email"
        assert requests.get(url, headers={"Metadata-Flavor": "Google"}, timeout=10).text == email(account)


def test_a_malformed_fault_or_bucket_is_told_before_anything_stays_running(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown fault action"):
        Cloud(tmp_path, faults=[{"method": "x", "action": "y"}])
    with pytest.raises(ValueError, match="cannot be made"):
        Cloud(tmp_path, buckets=["NO"]).start()
    with Cloud(tmp_path):
        pass
