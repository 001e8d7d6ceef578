"""The Cloud Run service: the services of functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.iam import Iam
from localcloud.core.iam.calls import Resources, policy_handlers
from localcloud.core.service import Handler, Part
from localcloud.engines.function.instance import Instance
from localcloud.engines.function.revision import Revision
from localcloud.services.run.front import PREFIX, Front
from localcloud.services.run.refusals import missing
from localcloud.services.run.serving import Serving

Json = dict[str, Any]


class RunService(Part):
    """Cloud Run of one project: the services that Cloud Functions deploys.

    `restore` sets their revisions again after a restart. `url` is localcloud's address; `identity` gives the variables
    that lead a process to the metadata server of an account (by its address).
    """

    api = "run.v2"

    def __init__(
        self,
        clock: Clock,
        iam: Iam,
        *,
        url: Callable[[], str],
        identity: Callable[[str], Mapping[str, str]],
    ) -> None:
        self._url = url
        self._identity = identity
        self._iam = iam
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._by_name: dict[str, Serving] = {}
        self._retired: list[Serving] = []
        self.front = Front(iam, self._by_name.get, clock.now)

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        kinds = {"run.projects.locations.services": "run.services"}
        return policy_handlers(Resources(kinds, self._by_name.__contains__, missing))

    def uri(self, service: str) -> str:
        """Return a service's URL."""
        _, _, _, location, _, short = service.split("/")
        return f"{self._url()}{PREFIX}{location}/{short}"

    def deploy(self, revision: Revision) -> None:
        """Start an instance of a revision, then send it all requests to its service, which is created if needed.

        Raises `StartFailed`, without any change.
        """
        serving = self._made(revision)
        try:
            with serving.place():
                pass
        except BaseException:
            serving.close()
            raise
        self._serve(serving)

    def restore(self, revision: Revision) -> None:
        """Serve a revision that was deployed before; its first instance starts with its first request."""
        self._serve(self._made(revision))

    def remove(self, service: str) -> None:
        """Delete a service and its policy; no effect without one."""
        with self._lock:
            serving = self._by_name.pop(service, None)
        if serving is not None:
            serving.close()
        self._iam.policies.remove(service)

    def stop_starting(self) -> None:
        """End every wait for a starting instance, for good."""
        self._ending.set()

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the services, with how many instances each has."""
        return {
            "run.services": [
                {"name": name.rpartition("/")[2], "location": name.split("/")[3], "instances": each.count()}
                for name, each in sorted(self._by_name.items())
            ]
        }

    def close(self) -> None:
        """End all instances, also those that are about to start."""
        self.stop_starting()
        with self._lock:
            every = [*self._by_name.values(), *self._retired]
        for serving in every:
            serving.close()

    def _made(self, revision: Revision) -> Serving:
        def start(wanted: Revision) -> Instance:
            return Instance.start(wanted, self._identity(wanted.account), self._ending)

        return Serving(revision, start)

    def _serve(self, serving: Serving) -> None:
        with self._lock:
            before = self._by_name.get(serving.revision.service)
            self._by_name[serving.revision.service] = serving
            self._retired = [each for each in self._retired if each.count()]
            if before is not None:
                self._retired.append(before)
        if before is not None:
            before.retire()
