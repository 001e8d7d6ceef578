"""The Cloud Run service: keeps what it knows of the services that functions have, and their instances."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from localcloud.clock import Clock
from localcloud.iam import Iam
from localcloud.iam.kept_policies import KeptPolicies, Resources
from localcloud.kept import Kept
from localcloud.run import views
from localcloud.run.access import authorize, missing
from localcloud.run.front import PREFIX, Front
from localcloud.run.instance import Instance
from localcloud.run.instances import Instances
from localcloud.run.revision import Revision
from localcloud.service import Call, Handler

Json = dict[str, Any]


class RunService:
    """Cloud Run of one project: the services that Cloud Functions deploys, nothing else makes any.

    Their policies stay in `state_dir` over a restart; what they run is told anew by `restore`. `url` says where localcloud
    answers; `identity` gives the variables that lead a process to the metadata server of an account (by its address).
    """

    api = "run.v2"

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        iam: Iam,
        *,
        url: Callable[[], str],
        identity: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._clock = clock
        self._url = url
        self._identity = identity
        self._histories = Kept(state_dir / "run" / "services.json")
        kinds = {"run.projects.locations.services": "run.services"}
        self._policies = KeptPolicies(
            iam,
            Kept(state_dir / "run" / "policies.json"),
            Resources(kinds, authorize, self._exists, missing),
        )
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._serving: dict[str, Instances] = {}
        self._retired: list[Instances] = []
        self.front = Front(iam, self._serving.get, clock.now)

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return {"run.projects.locations.services.get": self._get, **self._policies.handlers()}

    def uri(self, service: str) -> str:
        """Return where a service answers."""
        _, _, _, location, _, short = service.split("/")
        return f"{self._url()}{PREFIX}{location}/{short}"

    def deploy(self, revision: Revision, deployer: str) -> None:
        """Start an instance of a revision, then send it all requests to its service, which is made when there is none.

        Raises `StartFailed`, and all stays as it was.
        """
        instances = self._instances(revision)
        try:
            with instances.place():
                pass
        except BaseException:
            instances.close()
            raise
        self._serve(instances)
        now = self._clock.now()
        known = self._histories.find(revision.service)
        if known is None:
            history = views.History(str(uuid.uuid4()), deployer, now, deployer, now, 1)
        else:
            before = views.History(**known)
            history = replace(before, modifier=deployer, updated=now, generation=before.generation + 1)
        self._histories.put(revision.service, asdict(history))

    def restore(self, revision: Revision) -> None:
        """Serve a revision that was deployed before; its first instance starts with its first request."""
        self._serve(self._instances(revision))

    def remove(self, service: str) -> None:
        """Delete a service and its policy; without effect when there is none."""
        with self._lock:
            instances = self._serving.pop(service, None)
        if instances is not None:
            instances.close()
        self._histories.remove(service)
        self._policies.forget(service)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the services, with how many instances each has."""
        return {
            "run.services": [
                {"name": name.rpartition("/")[2], "location": name.split("/")[3], "instances": each.count()}
                for name, each in sorted(self._serving.items())
            ]
        }

    def close(self) -> None:
        """End all instances, also those that are about to start."""
        self._ending.set()
        with self._lock:
            every = [*self._serving.values(), *self._retired]
        for instances in every:
            instances.close()
        self.front.close()

    def _get(self, call: Call) -> Json:
        name = authorize(call, "run.services.get", call.params["name"])
        instances, history = self._serving.get(name), self._histories.find(name)
        if instances is None or history is None:
            raise missing(name)
        return views.service(instances.revision, views.History(**history), self.uri(name))

    def _exists(self, name: str) -> bool:
        return self._histories.find(name) is not None

    def _instances(self, revision: Revision) -> Instances:
        def start(wanted: Revision) -> Instance:
            return Instance.start(wanted, self._identity(wanted.account), self._ending)

        return Instances(revision, self._clock, start)

    def _serve(self, instances: Instances) -> None:
        with self._lock:
            before = self._serving.get(instances.revision.service)
            self._serving[instances.revision.service] = instances
            self._retired = [each for each in self._retired if each.count()]
            if before is not None:
                self._retired.append(before)
        if before is not None:
            before.retire()
