"""A whole local cloud, Google's own clients for it, and small functions with the packages of the real one."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pytest
import requests
from google.api_core.future.polling import DEFAULT_POLLING
from google.cloud import functions_v2, pubsub_v1  # type: ignore[attr-defined]
from google.cloud.functions_v2 import types
from google.oauth2.credentials import Credentials

from localcloud.cloud import Cloud
from localcloud.core.iam import email
from tests.owner import signed
from tests.patience import PATIENCE
from tests.polling import eventually

PROJECT = "projects/local-project"
REGION = f"{PROJECT}/locations/us-central1"
FUNCTION = f"{REGION}/functions/nightly"
SERVICE = f"{REGION}/services/nightly"
TOPIC = f"{PROJECT}/topics/news"

# The packages that `make venv` installs ahead of time: these tests need no network then.
REQUIREMENTS = (Path(__file__).parents[3] / "function" / "requirements.txt").read_text()

MAIN = """
import json, os, signal, sys, time
import functions_framework

@functions_framework.cloud_event
def go(event):
    told = {"id": event["id"], "source": event["source"], "type": event["type"], "time": event["time"], "data": event.data}
    print(json.dumps({"severity": "INFO", "message": "got", "event": told, "path": sys.path, "env": dict(os.environ)}))
    if "fail" in event.data["message"].get("attributes", {}):
        raise ValueError("as asked")

@functions_framework.cloud_event
def wait(event):
    print("waiting")
    while not os.path.exists(os.environ["UNTIL"]):
        time.sleep(0.01)
    print("waited")

@functions_framework.http
def answer(request):
    if request.path == "/end":
        os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    return {"path": request.path, "query": request.query_string.decode(), "body": request.get_data(as_text=True)}
"""
_POLLING: Any = DEFAULT_POLLING.with_delay(initial=0.02, maximum=0.1)


class CloudFixture:
    """A local cloud, as the project's owner; `cloud` is the cloud itself."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def client(self, account: str | None = None) -> Any:
        """Return Google's client of Cloud Functions, as an account or as the owner."""
        return functions_v2.FunctionServiceClient(**self._options(account))

    def topic(self, name: str = TOPIC) -> None:
        """Make a topic."""
        pubsub_v1.PublisherClient(**self._options()).create_topic(name=name)

    def publish(self, data: bytes = b"hello", **attributes: str) -> str:
        """Publish to the topic; return the message's id."""
        message = {"data": base64.b64encode(data).decode(), "attributes": attributes}
        answer = self.call("POST", f"/v1/{TOPIC}:publish", {"messages": [message]})
        return str(answer.json()["messageIds"][0])

    def upload(self, files: Mapping[str, str] | bytes, account: str | None = None) -> Any:
        """Upload a source archive; return where it is, as a `StorageSource`."""
        offer = self.client(account).generate_upload_url(request={"parent": REGION, "environment": 2})
        content = files if isinstance(files, bytes) else archive(files)
        put = requests.put(
            offer.upload_url, data=content, headers={"content-type": "application/zip"}, timeout=PATIENCE
        )
        assert put.status_code == 200, put.text
        return offer.storage_source

    def function(self, **fields: Any) -> Any:
        """Return a function that gets events, with fields by path such as service_config__timeout_seconds."""
        found: dict[str, Any] = {
            "build_config": {
                "runtime": "python311",
                "entry_point": "go",
                "service_account": f"{PROJECT}/serviceAccounts/{email('notebook-function-build')}",
            },
            "service_config": {
                "service_account_email": email("notebook-function"),
                "max_instance_count": 1,
                "ingress_settings": types.ServiceConfig.IngressSettings.ALLOW_INTERNAL_ONLY,
            },
            "event_trigger": {
                "event_type": "google.cloud.pubsub.topic.v1.messagePublished",
                "pubsub_topic": TOPIC,
                "retry_policy": types.EventTrigger.RetryPolicy.RETRY_POLICY_RETRY,
                "service_account_email": email("notebook-trigger"),
            },
        }
        for path, value in fields.items():
            *above, last = path.split("__")
            place = found
            for part in above:
                place = place.setdefault(part, {})
            if value is None:
                place.pop(last, None)
            else:
                place[last] = value
        if "source" not in found["build_config"]:
            source = self.upload({"main.py": MAIN, "requirements.txt": REQUIREMENTS})
            found["build_config"]["source"] = {"storage_source": source}
        return found

    def begin(self, account: str | None = None, **fields: Any) -> Any:
        """Begin to make a function; return the operation."""
        request = {"parent": REGION, "function_id": "nightly", "function": self.function(**fields)}
        return self.client(account).create_function(request=request)

    def create(self, account: str | None = None, **fields: Any) -> Any:
        """Make a function; return it."""
        return result(self.begin(account, **fields))

    def patch(self, mask: str, **fields: Any) -> Any:
        """Begin to change the function, only with the fields given; return the operation."""
        function: dict[str, Any] = {"name": FUNCTION}
        for path, value in fields.items():
            *above, last = path.split("__")
            place = function
            for part in above:
                place = place.setdefault(part, {})
            place[last] = value
        paths = {"paths": [path for path in mask.split(",") if path]}
        return self.client().update_function(request={"function": function, "update_mask": paths})

    def get(self) -> Any:
        """Return the function."""
        return self.client().get_function(name=FUNCTION)

    def call(self, verb: str, path: str, body: Any = None, account: str | None = None) -> requests.Response:
        """Call a method that has no client here, as an account or as the owner."""
        headers = signed(self.cloud.iam)
        if account is not None:
            headers["Authorization"] = f"Bearer {self.cloud.iam.token(email(account))[0]}"
        return requests.request(verb, f"{self.cloud.url}{path}", json=body, headers=headers, timeout=PATIENCE)

    def bind(self) -> None:
        """Let the trigger's account invoke the function's service."""
        binding = {"role": "roles/run.invoker", "members": [f"serviceAccount:{email('notebook-trigger')}"]}
        answer = self.call("POST", f"/v2/{SERVICE}:setIamPolicy", {"policy": {"bindings": [binding]}})
        assert answer.status_code == 200, answer.text

    def log(self) -> str:
        """Return the function's log."""
        (entry,) = self.cloud.inventory()["functions"]
        file = Path(entry["log"])
        return file.read_text() if file.exists() else ""

    def events(self) -> list[Any]:
        """Return what the function has printed of its events."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["message"] == "got"]

    def await_events(self, count: int) -> list[Any]:
        """Return the function's events once there are so many."""
        eventually(lambda: len(self.events()) >= count, self.log)
        return self.events()

    def await_redelivery(self, count: int) -> list[Any]:
        """Move the clock past one back-off after another until the function has had so many events; return them."""

        def come() -> bool:
            self.cloud.clock.advance(20)
            return len(self.events()) >= count

        eventually(come, self.log)
        return self.events()

    def backlog(self) -> int:
        """Return the number of messages in the function's subscription."""
        subscriptions = self.cloud.inventory()["pubsub.subscriptions"]
        return sum(each["unacknowledged"] for each in subscriptions)

    def _options(self, account: str | None = None) -> Any:
        credentials: Any = Credentials(token=self.cloud.iam.owner_token)
        if account is not None:
            credentials = Credentials(token=self.cloud.iam.token(email(account))[0])
        endpoint = {"api_endpoint": self.cloud.url}
        return {"credentials": credentials, "transport": "rest", "client_options": endpoint}


def result(operation: Any) -> Any:
    """Return an operation's result, with frequent polls."""
    return operation.result(timeout=PATIENCE, polling=_POLLING)


def archive(files: Mapping[str, str]) -> bytes:
    """Return a zip file of texts."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return written.getvalue()


class Start(Protocol):
    """Starts a local cloud; `meanwhile` is called after the end of the one before."""

    def __call__(self, meanwhile: Callable[[], object] = bool) -> CloudFixture: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a local cloud on the test's state directory, or start it again; its own bugs fail the test."""
    running: list[CloudFixture] = []

    def end() -> None:
        for cloud_fixture in running:
            inventory = cloud_fixture.cloud.inventory()
            cloud_fixture.cloud.close()
            assert inventory["schema_violations"] == []
            assert inventory["internal_errors"] == []
        running.clear()

    def begin(meanwhile: Callable[[], object] = bool) -> CloudFixture:
        end()
        meanwhile()
        cloud = Cloud(tmp_path / "state")
        cloud.start()
        running.append(CloudFixture(cloud))
        return running[0]

    yield begin
    end()


@pytest.fixture
def cloud_fixture(start: Start) -> CloudFixture:
    """Run a local cloud with the topic."""
    cloud_fixture = start()
    cloud_fixture.topic()
    return cloud_fixture
