"""The Cloud Functions service: connects its records, deployments and handlers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localcloud.core.clock import Clock
from localcloud.core.service import Handler, Part
from localcloud.engines.function.environments import Environments
from localcloud.services.functions.calls import Methods
from localcloud.services.functions.deployment import Deployment
from localcloud.services.functions.sources import Sources
from localcloud.services.functions.state import Records
from localcloud.services.functions.state_layout import Layout
from localcloud.services.functions.state_operations import Operations
from localcloud.services.functions.uploads import Uploads
from localcloud.services.functions.work import Work
from localcloud.services.pubsub import PubSubService
from localcloud.services.run import RunService

Json = dict[str, Any]

# The longest wait for running work, which has been stopped by then.
_END_SECONDS = 10.0


class FunctionsService(Part):
    """Cloud Functions of one project. Functions and their sources stay in `state_dir`; `resume` serves them again.

    `url` is localcloud's address, `on_error` gets localcloud's bugs.
    `require_enabled` raises `ApiError` 403 for a service that is not enabled.
    """

    api = "cloudfunctions.v2"

    def __init__(
        self,
        state_dir: Path,
        clock: Clock,
        run: RunService,
        pubsub: PubSubService,
        *,
        require_enabled: Callable[[str], None],
        url: Callable[[], str],
        on_error: Callable[[str, BaseException], None],
    ) -> None:
        layout = Layout(state_dir / "functions")
        self._layout = layout
        self._run = run
        self._on_error = on_error
        self._threads: list[threading.Thread] = []
        self._environments = Environments()
        self.uploads = Uploads(layout.uploads, url, clock.now)
        self._deployment = Deployment(
            layout=layout,
            records=Records(layout.records),
            operations=Operations(clock),
            sources=Sources(layout, self.uploads),
            environments=self._environments,
            run=run,
            pubsub=pubsub,
            clock=clock,
        )
        self._methods = Methods(
            self._deployment,
            self.uploads,
            topic_exists=pubsub.topic_exists,
            require_enabled=require_enabled,
            begin=self._begin,
        )

    def handlers(self) -> Mapping[str, Handler]:
        """Return a handler for each method id of this service."""
        return self._methods.handlers()

    def resume(self) -> None:
        """Serve the functions of the state directory again, at localcloud's present address."""
        for name in self._deployment.records.names():
            self._deployment.restore(name)

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the functions, each with its trigger and the path of its log."""
        return {"functions": [self._listed(name) for name in self._deployment.records.names()]}

    def close(self) -> None:
        """End running work."""
        self._environments.close()
        self._run.stop_starting()
        for thread in self._threads:
            thread.join(_END_SECONDS)

    def _listed(self, name: str) -> Json:
        record = self._deployment.records.find(name)
        if record is None:  # deleted this moment
            return {"name": name.rpartition("/")[2], "location": name.split("/")[3], "state": "DELETING"}
        function = self._deployment.view(record)
        return {
            "name": name.rpartition("/")[2],
            "location": name.split("/")[3],
            "state": function["state"],
            "url": function.get("url"),
            "labels": function.get("labels", {}),
            "revision": function["serviceConfig"].get("revision"),
            "topic": None if record.trigger is None else record.trigger["topic"].rpartition("/")[2],
            "subscription": None
            if record.trigger is None
            else record.trigger["subscription"].rpartition("/")[2],
            "log": str(self._layout.log(name)),
        }

    def _begin(self, action: Callable[[Work], None], work: Work) -> None:
        def carry_out() -> None:
            try:
                action(work)
            except Exception as error:  # noqa: BLE001  a bug of localcloud's must not leave the operation open
                self._on_error(f"an operation on {work.name}", error)
                self._deployment.abandon(work, error)

        thread = threading.Thread(target=carry_out, name="localcloud-functions", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()
