"""Makes a valid build of a request: its account, its substituted form, and its first fields."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping

from localcloud.core.errors import forbidden, invalid, not_found
from localcloud.core.iam import PROJECT, PROJECT_NUMBER, Iam, by_id
from localcloud.core.objects import ObjectError, Objects, Place
from localcloud.core.service import Call
from localcloud.core.times import timestamp
from localcloud.engines.build import Runner
from localcloud.services.cloudbuild import rules_substitutions
from localcloud.services.cloudbuild.job import Job
from localcloud.services.cloudbuild.names import DEFAULT_TIMEOUT
from localcloud.services.cloudbuild.problem import Json, part, text
from localcloud.services.cloudbuild.refusals import check_submitted, check_substituted
from localcloud.services.cloudbuild.state import Builds
from localcloud.services.cloudbuild.views import build_name, log_url

RUNNER_HEADER = "x-localcloud-runner"

_LOGS_BUCKET = f"gs://{PROJECT_NUMBER}.cloudbuild-logs.googleusercontent.com"


class Creation:
    """Makes jobs of create calls; `now` gives seconds since the epoch."""

    def __init__(
        self,
        builds: Builds,
        objects: Objects,
        runners: Mapping[str, Runner],
        default_runner: str,
        now: Callable[[], float],
    ) -> None:
        self._builds = builds
        self._objects = objects
        self._runners = runners
        self._default_runner = default_runner
        self._now = now

    def job(self, call: Call, location: str) -> Job:
        """Record the requested build as QUEUED and return it; raises `ApiError` for a refused one."""
        submitted = call.body
        runner = self._runner(call)
        check_submitted(submitted)
        build_id = str(uuid.uuid4())
        account_name = _account(call.iam, submitted, _values(location, build_id, ""))
        account = account_name.rpartition("/")[2]
        values = _values(location, build_id, account)
        build = rules_substitutions.apply(submitted, values)
        check_substituted(build)
        _check_account(call, account_name)
        source = self._source(account, build)
        record = self._builds.add(_first(build, build_id, location, account, now=self._now(), source=source))
        automapped = tuple(
            rules_substitutions.step_variables(submitted, step, values) for step in submitted["steps"]
        )
        return Job(record, runner, account, source, automapped)

    def _runner(self, call: Call) -> Runner:
        name = call.headers.get(RUNNER_HEADER, self._default_runner)
        if name not in self._runners:
            raise invalid(f"localcloud has no runner {name!r}; there are {', '.join(self._runners)}")
        return self._runners[name]

    def _source(self, account: str, build: Json) -> Place | None:
        """Return the source with its generation, which is looked up at once, as on Google."""
        given = part(build, "source").get("storageSource")
        if given is None:
            return None
        for field in ("bucket", "object"):
            if not given.get(field):
                raise invalid(f"invalid build: invalid .source field: storage_source must specify {field}")
        try:
            return self._objects.resolve(
                account, Place(given["bucket"], given["object"], given.get("generation", ""))
            )
        except ObjectError as error:
            raise invalid(f"could not resolve source: {error}") from error


def _values(location: str, build_id: str, account: str) -> dict[str, str]:
    return rules_substitutions.builtin(
        project=PROJECT,
        project_number=PROJECT_NUMBER,
        location=location,
        build_id=build_id,
        service_account_email=account,
    )


def _account(iam: Iam, submitted: Json, values: Mapping[str, str]) -> str:
    """Return the name of the build's account, after substitution; an account's unique id becomes its address."""
    fields = ("serviceAccount", "substitutions", "options")
    named = rules_substitutions.apply({key: submitted[key] for key in fields if key in submitted}, values)
    name = text(named, "serviceAccount") or f"projects/{PROJECT}/serviceAccounts/{iam.default_account}"
    parent, _, account = by_id(name).rpartition("/")
    known = iam.accounts.find(account)
    return f"{parent}/{known['email'] if known else account}"


def _check_account(call: Call, name: str) -> None:
    if not call.iam.allowed(call.caller, "iam.serviceAccounts.actAs", name):
        raise forbidden(f"caller does not have permission to act as service account {name}")
    known = call.iam.accounts.find(name.rpartition("/")[2])
    if known is None or known["name"] != name:
        there = ", ".join(call.iam.accounts.addresses())
        raise not_found(f"service account {name} was not found; there are {there}")


def _first(
    build: Json, build_id: str, location: str, account: str, *, now: float, source: Place | None
) -> Json:
    """Return the build as Google shows it at once: the request's fields, and those that only Google sets."""
    default = f"{DEFAULT_TIMEOUT}s"
    shown = {
        "logsBucket": _LOGS_BUCKET,
        "timeout": default,
        "queueTtl": default,
        **_plain(build),
        "name": build_name(location, build_id),
        "id": build_id,
        "projectId": PROJECT,
        "status": "QUEUED",
        "createTime": timestamp(now),
        "logUrl": log_url(location, build_id),
        "serviceAccount": f"projects/{PROJECT}/serviceAccounts/{account}",
    }
    if source is not None:
        resolved = {"bucket": source.bucket, "object": source.name, "generation": source.generation}
        shown["sourceProvenance"] = {"resolvedStorageSource": resolved}
    return shown


def _plain(build: Json) -> Json:
    """Return the build in the form of answers: 64-bit numbers as text, and no empty tags."""
    result = dict(build)
    if "diskSizeGb" in part(build, "options"):
        result["options"] = {**build["options"], "diskSizeGb": str(build["options"]["diskSizeGb"])}
    if "tags" in build:
        result["tags"] = [
            tag for tag in build["tags"] if tag
        ]  # a substitution without a value leaves an empty one
    if "generation" in part(part(build, "source"), "storageSource"):
        storage = build["source"]["storageSource"]
        result["source"] = {"storageSource": {**storage, "generation": str(storage["generation"])}}
    return result
