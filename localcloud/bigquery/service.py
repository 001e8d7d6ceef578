"""BigQuery, REST API: checks each call as Google would, passes it on to the emulator, and corrects what that answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

from localcloud.bigquery import queries
from localcloud.bigquery.access import Access
from localcloud.bigquery.answers import known
from localcloud.bigquery.emulator import Emulator
from localcloud.bigquery.queries import Query
from localcloud.bigquery.routes import PREFIXES, Task, understood
from localcloud.errors import ApiError, not_found, unimplemented
from localcloud.listener import json_response
from localcloud.service import Caller, Json
from localcloud.storage.fields import partial

if TYPE_CHECKING:
    from localcloud.clock import Clock
    from localcloud.faults import FaultPlan
    from localcloud.iam import Iam

_TASK = "localcloud.bigquery"
_BAD = 400
_OF_A_JOB = frozenset({"bigquery.jobs.get", "bigquery.jobs.getQueryResults", "bigquery.jobs.cancel"})


@dataclass(frozen=True)
class _Job:
    """Who ran a job, and what it cost: `processed` and `billed` bytes."""

    caller: Caller
    costs: Mapping[str, int]


class BigQueryService:
    """A `RawService`. The emulator starts with the first call that needs it, and forgets everything when it ends."""

    prefixes = PREFIXES

    def __init__(self, state_dir: Path, clock: Clock, iam: Iam, faults: FaultPlan) -> None:  # noqa: ARG002  the shape of all services
        self._emulator = Emulator(state_dir / "bigquery")
        self._access = Access(iam)
        self._jobs: dict[str, _Job] = {}

    def close(self) -> None:
        """End the emulator, if it was started."""
        self._emulator.close()

    def inventory(self) -> Mapping[str, list[Json]]:
        """Return the jobs that were run."""
        return {
            "bigquery.jobs": [{"id": name, "caller": job.caller.email} for name, job in self._jobs.items()]
        }

    def identify(self, request: Request) -> tuple[str, Mapping[str, Any]] | None:
        """Name the method and the facts by which a fault may match: parameters and scalars of the body."""
        task = _task(request)
        facts = {
            key: value for key, value in task.body.items() if isinstance(value, str | int | float | bool)
        }
        return task.id, {**facts, **task.params}

    def respond(self, request: Request, caller: Caller) -> Response:
        """Answer a request; an `ApiError` raised is Google's answer."""
        task = _task(request)
        self._access.check(task, caller)
        query = Query.of(task)
        if query is not None:
            answer = self._run(task, query, request, caller)
        elif task.id in _OF_A_JOB:
            job = self._job(task, caller)
            answer = queries.with_costs(self._passed_on(request), job.costs)
        else:
            answer = self._passed_on(request)
        return _printed(task, answer)

    def _run(self, task: Task, query: Query, request: Request, caller: Caller) -> Json:
        """Run a query, once it has been found allowed and right; its job is known from then on."""
        if query.legacy:
            raise unimplemented("localcloud's BigQuery has no legacy SQL: send useLegacySql=false.")
        name = task.body.get("jobReference", {}).get("jobId", "")
        if name in self._jobs:
            raise ApiError(409, "duplicate", f"Already Exists: Job {task.project}:US.{name}")
        analysis = self._emulator.analyse(query.text, task.project, query.dataset)
        self._access.check_tables(caller, analysis["reads"], analysis["writes"])
        queries.check(query, analysis)
        answer = self._passed_on(request)
        costs = {"processed": int(analysis["bytes"]), "billed": 0 if query.dry else queries.billed(analysis)}
        if not query.dry:
            self._jobs[answer["jobReference"]["jobId"]] = _Job(caller, costs)
        return queries.with_costs(answer, costs)

    def _job(self, task: Task, caller: Caller) -> _Job:
        """Return a job of the caller's own; the owner sees all. Raises a 403 or 404."""
        place = f"{task.project}:US.{task.params['jobId']}"
        job = self._jobs.get(task.params["jobId"])
        if job is None:
            raise not_found(f"Not found: Job {place}")
        if caller.email is not None and caller.email != job.caller.email:
            raise ApiError(
                403,
                "accessDenied",
                f"Access Denied: Job {place}: The user does not have permission bigquery.jobs.get",
            )
        return job

    def _passed_on(self, request: Request) -> Json:
        """Return the emulator's answer; raises its error."""
        path = request.environ["RAW_URI"]
        status, answer = self._emulator.ask(request.method, path, request.get_data())
        if status >= _BAD:
            error = answer.get("error", {})
            reason = (error.get("errors") or [{}])[0].get("reason", "backendError")
            raise ApiError(status, reason, error.get("message", "The emulator gave no reason."))
        return answer


def _task(request: Request) -> Task:
    """Understand a request, once."""
    if _TASK not in request.environ:
        path = request.environ["RAW_URI"].partition("?")[0]
        query = dict(request.args.lists())
        request.environ[_TASK] = understood(request.method, path, query, request.get_data())
    task: Task = request.environ[_TASK]
    return task


def _printed(task: Task, answer: Json) -> Response:
    """Print an answer, checked against Google's schema and cut down to the fields asked for."""
    if task.method.response is None:
        return Response(status=204)
    answer = known(task.method, answer)
    problems = task.method.response_problems(answer)
    if problems:
        message = f"the answer to {task.id} does not fit Google's schema: {problems[:3]}"
        raise RuntimeError(message)
    return json_response(partial(answer, task.params.get("fields")))
