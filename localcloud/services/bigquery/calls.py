"""BigQuery's REST API: checks each call as Google does, passes it to the emulator, and corrects the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from localcloud.core.caller import OWNER, Caller
from localcloud.core.errors import ApiError, not_found, unimplemented
from localcloud.core.fields import partial
from localcloud.core.http import json_response
from localcloud.core.service import Json, Part
from localcloud.engines.bigquery.emulator import Emulator
from localcloud.services.bigquery import rules_queries
from localcloud.services.bigquery.rules_access import Access
from localcloud.services.bigquery.rules_queries import Query
from localcloud.services.bigquery.rules_routes import PREFIXES, Task, understood
from localcloud.services.bigquery.views import known

if TYPE_CHECKING:
    from localcloud.core.faults import Fault
    from localcloud.core.iam import Iam

_TASK = "localcloud.services.bigquery"
_BAD = 400
_OF_A_JOB = frozenset({"bigquery.jobs.get", "bigquery.jobs.getQueryResults", "bigquery.jobs.cancel"})


@dataclass(frozen=True)
class _Job:
    """The caller of a job, and its cost: `processed` and `billed` bytes."""

    caller: Caller
    costs: Mapping[str, int]


class BigQueryService(Part):
    """A `RawService`. The first call that needs the emulator starts it; its data ends with it."""

    service = "bigquery.googleapis.com"
    prefixes = PREFIXES

    def __init__(self, state_dir: Path, iam: Iam) -> None:
        self._emulator = Emulator(state_dir / "bigquery")
        self._access = Access(iam)
        self._jobs: dict[str, _Job] = {}

    def close(self) -> None:
        """End the emulator, if it was started."""
        self._emulator.close()

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the jobs that were run."""
        return {
            "bigquery.jobs": [
                {"id": name, "caller": job.caller.email}
                for name, job in list(self._jobs.items())  # at once: queries go on meanwhile
            ]
        }

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Return the method, and the values that a fault may match: parameters and scalars of the body."""
        task = _task(request)
        facts = {
            key: value for key, value in task.body.items() if isinstance(value, str | int | float | bool)
        }
        return task.id, {**facts, **task.params}

    def respond(self, request: Request, caller: Caller, _fault: Fault | None) -> Response:
        """Answer a request; an `ApiError` raised is Google's answer."""
        task = _task(request)
        self._access.check(task, caller)
        query = Query.of(task)
        if query is not None:
            answer = self._run(task, query, request, caller)
        elif task.id in _OF_A_JOB:
            job = self._job(task, caller)
            answer = rules_queries.with_costs(self._passed_on(request, task), job.costs)
        else:
            answer = self._passed_on(request, task)
        return _printed(task, answer)

    def _run(self, task: Task, query: Query, request: Request, caller: Caller) -> Json:
        """Run a query that has passed all checks, and record its job."""
        if query.legacy:
            raise unimplemented("localcloud's BigQuery has no legacy SQL: send useLegacySql=false.")
        name = task.body.get("jobReference", {}).get("jobId", "")
        if name in self._jobs:
            raise ApiError(409, "duplicate", f"Already Exists: Job {task.project}:US.{name}")
        analysis = self._emulator.analyse(query.text, task.project, query.dataset)
        self._access.check_tables(caller, analysis["reads"], analysis["writes"])
        rules_queries.check(query, analysis)
        answer = self._passed_on(request, task)
        costs = {
            "processed": int(analysis["bytes"]),
            "billed": 0 if query.dry else rules_queries.billed(analysis),
        }
        if not query.dry:
            self._jobs[answer["jobReference"]["jobId"]] = _Job(caller, costs)
        return rules_queries.with_costs(answer, costs)

    def _job(self, task: Task, caller: Caller) -> _Job:
        """Return a job of the caller's own; the owner sees all. Raises a 403 or 404."""
        place = f"{task.project}:US.{task.params['jobId']}"
        job = self._jobs.get(task.params["jobId"])
        if job is None:
            raise not_found(f"Not found: Job {place}")
        if caller not in (OWNER, job.caller):
            raise ApiError(
                403,
                "accessDenied",
                f"Access Denied: Job {place}: The user does not have permission bigquery.jobs.get",
            )
        return job

    def _passed_on(self, request: Request, task: Task) -> Json:
        """Return the emulator's answer; raises its error."""
        path = request.environ["RAW_URI"]
        body = json.dumps(task.body).encode() if task.body else b""
        status, answer = self._emulator.ask(request.method, path, body)
        if status >= _BAD:
            error = answer.get("error", {})
            reason = (error.get("errors") or [{}])[0].get("reason", "backendError")
            raise ApiError(status, reason, error.get("message", "The emulator gave no reason."))
        return answer


def _task(request: Request) -> Task:
    """Parse a request, once."""
    if _TASK not in request.environ:
        path = request.environ["RAW_URI"].partition("?")[0]
        query = dict(request.args.lists())
        request.environ[_TASK] = understood(request.method, path, query, request.get_data())
    task: Task = request.environ[_TASK]
    return task


def _printed(task: Task, answer: Json) -> Response:
    """Return an answer, checked against Google's schema and reduced to the requested fields."""
    if task.method.response is None:
        return Response(status=204)
    answer = known(task.method, answer)
    problems = task.method.response_problems(answer)
    if problems:
        message = f"the answer to {task.id} does not fit Google's schema: {problems[:3]}"
        raise RuntimeError(message)
    return json_response(partial(answer, task.params.get("fields")))
