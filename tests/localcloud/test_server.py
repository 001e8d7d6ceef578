"""The server: dispatch, identity, schema checks, faults and connections, with a service of three methods."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests
from google.api_core.client_options import ClientOptions
from google.api_core.exceptions import BadRequest, Forbidden, InternalServerError, ServiceUnavailable
from google.cloud import compute_v1
from google.oauth2.credentials import Credentials
from werkzeug import Request, Response

from localcloud.core.caller import Caller
from localcloud.core.faults import Fault, FaultPlan
from localcloud.core.findings import Findings
from localcloud.core.http import json_response
from localcloud.core.iam import PROJECT, Iam, email
from localcloud.core.server import Server
from localcloud.core.service import Call, Handler, Json
from localcloud.profile import PROFILE
from localcloud.services.registry import SPECS
from tests.patience import HANGS, PATIENCE
from tests.polling import eventually

ZONES = f"/compute/v1/projects/{PROJECT}/zones"


class TinyCompute:
    """Zones: one that works, one whose answer is wrong, two that break, one of them when `ended` is set."""

    api = "compute.v1"

    def __init__(self) -> None:
        self.called: list[Call] = []
        self.begun, self.ended = threading.Event(), threading.Event()

    def handlers(self) -> Mapping[str, Handler]:
        return {
            "compute.zones.get": self._get,
            "compute.instances.insert": self._insert,
        }

    def _get(self, call: Call) -> Json:
        self.called.append(call)
        zone = call.params["zone"]
        if zone == "slow":
            self.begun.set()
            self.ended.wait(PATIENCE)
        if zone in {"slow", "broken"}:
            raise ZeroDivisionError
        call.require("compute.zones.list", f"projects/{call.params['project']}/zones/{zone}")
        return {"name": zone, "status": "SIDEWAYS" if zone == "wrong" else "UP", "id": "1"}

    def _insert(self, call: Call) -> Json:
        self.called.append(call)
        return {"name": "operation-1", "status": "DONE"}


class Echo:
    """A raw service that answers with what it was sent."""

    service = "storage.googleapis.com"
    prefixes = ("/echo/",)

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        return "storage.objects.insert", {"name": request.path.removeprefix("/echo/")}

    def respond(self, request: Request, caller: Caller, fault: Fault | None) -> Response:
        body = request.get_data() if request.method == "PUT" else b""
        return json_response(
            {"caller": caller.email, "size": len(body), "fault": fault.action if fault else None}
        )


class Rig:
    """A server with the two services, and requests to it."""

    def __init__(self) -> None:
        self.tiny = TinyCompute()
        self.iam = Iam(PROFILE, SPECS)
        self.faults = FaultPlan(SPECS)
        self.findings = Findings()
        self.server = Server(
            specs=SPECS,
            services=[self.tiny],
            raw_services=[Echo()],
            control=lambda _request: json_response({}),
            iam=self.iam,
            faults=self.faults,
            findings=self.findings,
        )
        self.url = self.server.url

    def zones(self, account: str | None = None) -> compute_v1.ZonesClient:
        credentials = Credentials(self.iam.owner_token)
        if account:
            credentials = Credentials(self.iam.token(email(account))[0])
        return compute_v1.ZonesClient(
            credentials=credentials, client_options=ClientOptions(api_endpoint=self.url)
        )

    def fault(self, action: str, method: str = "compute.zones.get", **args: Any) -> None:
        self.faults.add({"method": method, "action": action, "args": args})

    @property
    def owner(self) -> dict[str, str]:
        """The header of the project's owner."""
        return {"Authorization": f"Bearer {self.iam.owner_token}"}

    def get(self, path: str, *, headers: dict[str, str] | None = None, **how: Any) -> requests.Response:
        return requests.get(
            self.url + path, timeout=PATIENCE, headers={**self.owner, **(headers or {})}, **how
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    rig.server.start()
    yield rig
    rig.server.close()


def error(response: requests.Response) -> Json:
    found: Json = response.json()["error"]
    assert found["code"] == response.status_code
    return found


def test_googles_client_gets_the_services_answer(rig: Rig) -> None:
    zone = rig.zones().get(project=PROJECT, zone="a")
    assert (zone.name, zone.status) == ("a", "UP")
    assert rig.findings.inventory()["calls"] == {"compute.zones.get": 1}


def test_googles_client_sends_a_body_that_passes_the_check(rig: Rig) -> None:
    client = compute_v1.InstancesClient(
        credentials=Credentials(rig.iam.owner_token),
        client_options=ClientOptions(api_endpoint=rig.url),
    )
    client.insert_unary(project=PROJECT, zone="z", instance_resource=compute_v1.Instance(name="vm"))
    with pytest.raises(BadRequest, match="Must be a match of regex"):
        client.insert_unary(project=PROJECT, zone="z", instance_resource=compute_v1.Instance(name="Bad"))
    assert [call.body for call in rig.tiny.called] == [{"name": "vm"}]


def test_a_permission_that_the_account_lacks_is_a_403_in_googles_words(rig: Rig) -> None:
    with pytest.raises(Forbidden) as caught:
        rig.zones("notebook-vm").get(project="local-project", zone="a")
    assert "Required 'compute.zones.list' permission for 'projects/local-project/zones/a'" in str(
        caught.value
    )
    rig.zones("notebook-builder").get(project="local-project", zone="a")


def test_an_unknown_token_is_a_401(rig: Rig) -> None:
    answer = rig.get(f"{ZONES}/a", headers={"Authorization": "Bearer made-up"})
    assert error(answer)["errors"][0]["reason"] == "authError"


def test_a_method_that_google_has_and_we_lack_is_a_501_that_names_it(rig: Rig) -> None:
    for path, name in (
        (f"{ZONES}/z/disks/d", "compute.disks.get"),
        ("/v1/projects/p/locations/l/jobs/j", "cloudscheduler.projects.locations.jobs.get"),
    ):
        answer = rig.get(path)
        assert answer.status_code == 501
        assert name in error(answer)["message"]


def test_a_path_of_no_method_is_a_404(rig: Rig) -> None:
    assert error(rig.get(f"/compute/v1/projects/{PROJECT}/zonez"))["status"] == "NOT_FOUND"


def test_other_formats_of_answers_are_refused(rig: Rig) -> None:
    assert rig.get(f"{ZONES}/a?fields=name").status_code == 501
    assert rig.get(f"{ZONES}/a?alt=proto").status_code == 501
    assert rig.get(f"{ZONES}/a?$alt=json;enum-encoding=int").status_code == 200


def test_an_answer_of_ours_against_the_schema_is_a_500_and_recorded(rig: Rig) -> None:
    with pytest.raises(InternalServerError, match="does not fit Google's schema"):
        rig.zones().get(project=PROJECT, zone="wrong")
    violation = rig.findings.inventory()["schema_violations"][0]
    assert violation["method"] == "compute.zones.get"
    assert "SIDEWAYS" in violation["problems"][0]


def test_a_bug_of_ours_is_a_500_and_recorded(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ZeroDivisionError" in error(rig.get(f"{ZONES}/broken"))["message"]
    assert "ZeroDivisionError" in rig.findings.inventory()["internal_errors"][0]["traceback"]
    assert "localcloud: a bug" in capsys.readouterr().err


@pytest.mark.parametrize(
    "headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}], ids=["host", "origin"]
)
def test_a_foreign_host_or_any_origin_is_refused(rig: Rig, headers: dict[str, str]) -> None:
    assert rig.get(f"{ZONES}/a", headers=headers).status_code == 403
    assert rig.tiny.called == []


def test_a_call_without_a_token_is_googles_401(rig: Rig) -> None:
    answer = requests.get(f"{rig.url}{ZONES}/a", timeout=PATIENCE)
    found = error(answer)
    assert (answer.status_code, found["status"]) == (401, "UNAUTHENTICATED")
    assert found["message"].startswith("Request is missing required authentication credential.")
    assert found["details"][0]["reason"] == "CREDENTIALS_MISSING"
    assert rig.tiny.called == []


def test_a_connection_is_kept_also_after_a_refusal_with_an_unread_body(rig: Rig) -> None:
    connection = http.client.HTTPConnection(rig.url.removeprefix("http://"))
    local_ports = set()
    for headers in ({"Authorization": "Bearer made-up"}, {}, {}):
        connection.request("PUT", "/echo/x", body=b"x" * 3_000_000, headers=headers)
        local_ports.add(connection.sock.getsockname()[1])
        connection.getresponse().read()
    connection.close()
    assert len(local_ports) == 1


def test_a_chunked_body_arrives_whole(rig: Rig) -> None:
    answer = requests.put(f"{rig.url}/echo/x", data=iter([b"abc", b"defg"]), timeout=PATIENCE)
    assert answer.json()["size"] == 7


def test_closing_ends_the_connections_that_are_open(rig: Rig) -> None:
    connection = http.client.HTTPConnection(rig.url.removeprefix("http://"))
    connection.request("GET", f"{ZONES}/a", headers=rig.owner)
    connection.getresponse().read()
    rig.server.close()
    sock = connection.sock
    assert isinstance(sock, socket.socket)
    sock.settimeout(5)
    assert sock.recv(1) == b""
    connection.close()


def test_a_planned_error_is_raised_by_googles_client_and_nothing_changes(rig: Rig) -> None:
    rig.fault("error", status=503, message="try later")
    with pytest.raises(ServiceUnavailable, match="try later"):
        rig.zones().get(project=PROJECT, zone="a", retry=None)
    assert rig.tiny.called == []
    assert rig.faults.inventory()[0]["consumed"] == 1


def test_fault_error_carries_details(rig: Rig) -> None:
    details = [{"reason": "RATE", "domain": "googleapis.com"}]
    rig.fault("error", status=403, reason="rateLimitExceeded", message="slow down", details=details)
    found = error(rig.get(f"{ZONES}/a"))
    assert found["details"] == details
    assert found["errors"][0]["reason"] == "rateLimitExceeded"


@pytest.mark.parametrize(("action", "done"), [("drop_before", 0), ("drop_after", 1)])
def test_a_dropped_connection_is_a_reset(rig: Rig, action: str, done: int) -> None:
    rig.fault(action)
    with socket.create_connection(("127.0.0.1", rig.server.port)) as raw:
        head = f"Host: 127.0.0.1:{rig.server.port}\r\nAuthorization: {rig.owner['Authorization']}\r\n\r\n"
        raw.sendall(f"GET {ZONES}/a HTTP/1.1\r\n{head}".encode())
        with pytest.raises(ConnectionResetError):
            raw.recv(1)
    assert len(rig.tiny.called) == done


def test_fault_error_after_has_done_the_work(rig: Rig) -> None:
    rig.fault("error_after", status=500)
    assert rig.get(f"{ZONES}/a").status_code == 500
    assert len(rig.tiny.called) == 1


def test_fault_delay_answers_later_and_stall_never(rig: Rig) -> None:
    rig.fault("delay", seconds=0.2)
    rig.fault("stall", seconds=0.1)
    began = time.monotonic()
    assert rig.get(f"{ZONES}/a").status_code == 200
    assert time.monotonic() - began >= 0.2
    with pytest.raises(requests.ConnectionError):
        rig.get(f"{ZONES}/a")


def test_fault_delay_after_does_the_work_before_it_answers(rig: Rig) -> None:
    rig.fault("delay_after", seconds=HANGS)
    with pytest.raises(requests.Timeout):
        requests.get(f"{rig.url}{ZONES}/a", headers=rig.owner, timeout=2)
    eventually(lambda: rig.tiny.called)
    assert len(rig.tiny.called) == 1


def test_closing_does_not_wait_for_a_stall(rig: Rig) -> None:
    rig.fault("stall", seconds=HANGS)

    def stalled() -> None:
        with pytest.raises(requests.ConnectionError):
            rig.get(f"{ZONES}/a")

    thread = threading.Thread(target=stalled)
    thread.start()
    eventually(lambda: rig.faults.inventory()[0]["consumed"])
    rig.server.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_request_that_is_under_way_when_its_service_ends_is_no_bug(rig: Rig) -> None:
    """Google's client asks for a bucket's metadata in a thread of its own, so localcloud may close meanwhile."""

    def ask() -> None:
        with pytest.raises(requests.ConnectionError):
            rig.get(f"{ZONES}/slow")

    others = set(threading.enumerate())
    thread = threading.Thread(target=ask)
    thread.start()
    assert rig.tiny.begun.wait(PATIENCE)
    handlers = [
        each for each in threading.enumerate() if each not in others and "process_request" in each.name
    ]
    rig.server.close()
    rig.tiny.ended.set()
    for each in (thread, *handlers):
        each.join(PATIENCE)
    assert rig.findings.inventory()["internal_errors"] == []


def test_nulls_in_a_body_are_fields_that_are_not_set(rig: Rig) -> None:
    body = {"name": "vm", "labels": {"a": None}, "disks": [{"boot": True, "source": None}]}
    answer = requests.post(f"{rig.url}{ZONES}/z/instances", json=body, headers=rig.owner, timeout=PATIENCE)
    assert answer.status_code == 200
    assert rig.tiny.called[0].body == {"name": "vm", "labels": {}, "disks": [{"boot": True}]}


def test_a_fault_matches_parameters_body_and_caller(rig: Rig) -> None:
    match = {"zone": "b", "caller": "notebook-builder@*"}
    rig.faults.add(
        {"method": "compute.zones.get", "match": match, "action": "error", "args": {"status": 500}}
    )
    rig.zones("notebook-builder").get(project="local-project", zone="a")
    rig.zones().get(project="local-project", zone="b")
    with pytest.raises(InternalServerError):
        rig.zones("notebook-builder").get(project="local-project", zone="b")


def test_raw_services_get_faults_by_method_id_their_own_ones_included(rig: Rig) -> None:
    rig.faults.add({"method": "storage.objects.insert", "match": {"name": "a*"}, "action": "lose"})
    rig.fault("error", method="storage.objects.insert", status=503)

    def put(name: str) -> requests.Response:
        return requests.put(f"{rig.url}/echo/{name}", data=b"x", timeout=PATIENCE)

    assert put("abc").json()["fault"] == "lose"
    failed = put("abc")
    assert "status" not in error(failed)
    assert put("abc").json() == {"caller": None, "size": 1, "fault": None}


def test_bodies_are_printed_as_json_with_a_length(rig: Rig) -> None:
    answer = rig.get(f"{ZONES}/a")
    assert answer.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert json.loads(answer.text)["name"] == "a"
    assert int(answer.headers["Content-Length"]) == len(answer.content)
