"""Puts proven notebooks live, in the order of the work: proofs, image, what stands there, archive, resources, one write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builder import __version__
from builder.act.proofs import Proof
from builder.deploy import live as documents
from builder.deploy.archive import Proven, pack_archive
from builder.deploy.beliefs import Claim, proven
from builder.deploy.build import LONGEST_BUILD, scheduled_build
from builder.deploy.converge import converge, remove
from builder.deploy.decide import Late, Same, decide, is_late
from builder.deploy.function_source import FunctionSource
from builder.deploy.image import by_digest
from builder.deploy.live import (
    ArchiveRef,
    BuilderRef,
    Live,
    LiveDocument,
    LiveJob,
    LiveNotebook,
    Place,
    Source,
)
from builder.deploy.ports import Doors
from builder.deploy.resources import Names, Resources, resources
from builder.errors import EnvironmentFailed, InputRefused
from builder.model import Listed
from builder.options import Deployment, Options
from builder.plan.event import scheduled_kinds
from builder.plan.make import ChosenNotebook, Plan
from builder.ports import ObjectStore

_MOST_TRIES = 10  # writes of live.json that others got in before
_JSON = "application/json"


@dataclass(frozen=True)
class Target:
    """Where `deploy` works: the options that say so, the project, the bucket, Google's other doors, and our source."""

    options: Options
    deployment: Deployment
    project: str
    store: ObjectStore
    doors: Doors
    source: FunctionSource
    say: Callable[[str], None]

    @property
    def live(self) -> str:
        """The name of live.json."""
        return documents.live_object(self.options.location, self.deployment.function)

    @property
    def live_url(self) -> str:
        """Its address."""
        return f"gs://{self.store.bucket}/{self.live}"

    def names(self, place: Place | None = None) -> Names:
        """The resources' names, in the region of what is live or else in the one asked for."""
        region = place.region if place else self.deployment.region
        return Names(self.project, region, self.deployment.function, self.deployment.topic)

    def account(self, given: str | None, name: str) -> str:
        """A service account's address: the one given, else the one of this name in the project."""
        owner = ".".join(reversed(self.project.split(":")))  # example.com:project has project.example.com
        return given or f"{name}@{owner}.iam.gserviceaccount.com"

    def resources(self, wanted: Live) -> Resources:
        """What this promotion needs in Google Cloud."""
        deployment = self.deployment
        return resources(
            self.names(wanted.place),
            function_account=self.account(deployment.function_account, "function"),
            build_account=self.account(deployment.function_build_account, "function-build"),
            trigger_account=self.account(deployment.trigger_account, "trigger"),
            live_url=self.live_url,
            endpoints=self.options.endpoints,
            source=self.source.zip,
            code=self.source.sha256,
            cron=wanted.schedule.cron,
            time_zone=wanted.schedule.time_zone,
        )

    def standing(self) -> tuple[LiveDocument | None, int]:
        """live.json and its generation; None and 0 where there is none."""
        found = self.store.read_newer(self.live, 0)
        return (None, 0) if found is None else (documents.decode(found[0], self.live_url), found[1])


@dataclass(frozen=True)
class Request:
    """What is to go live, as far as it is known before the first call: the plan, and the hash of every job's inputs and files."""

    plan: Plan
    chosen: Sequence[ChosenNotebook]
    claims: Sequence[Claim]
    workspaces: Mapping[str, str]
    kit: str
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """How it ended: whether anything was written, and what to say of it."""

    changed: bool
    message: str


def promote(request: Request, target: Target) -> Outcome:
    """Put what the request holds live. Raises BuilderError; killed anywhere and run again, it ends in the same state."""
    proofs = proven(target.store, request.plan.location, request.claims)
    for proof in proofs.values():
        target.say(f"{proof.notebook}: green in run {proof.run}, on {proof.image}")
    image = by_digest(target.deployment.image_in(target.project), target.doors.registry)
    target.say(f"builder {image}")
    source = _source(target)
    standing, generation = target.standing()
    if late := is_late(standing, source):
        return _late(late)
    archive, uploaded = _archive(request, target, proofs)
    wanted = _wanted(request, target, proofs, archive=archive, image=image, source=source)
    changes = converge(target.resources(wanted), target.doors, target.say)
    outcome = _write(target, wanted, standing, generation)
    if outcome.changed and standing is not None and standing.live.place != wanted.place:
        remove(target.names(standing.live.place), target.doors, target.say, keep_topic=True)
    if outcome.changed or not (changes or uploaded):
        return outcome
    return Outcome(
        changed=True, message=f"{target.deployment.function} was repaired; what is live is the same."
    )


def _source(target: Target) -> Source:
    """Which build this is. One by hand, or one that Cloud Build does not know, is as new as Cloud Build's clock says."""
    build, region = target.options.build, target.options.build.location or "global"
    found = target.doors.builds.get(build.build_id, region) if build.build_id else None
    if found is None:
        return Source(None, target.doors.builds.now(target.deployment.region), build.commit_sha)
    return Source(found.id, found.created, build.commit_sha or found.commit)


def _late(late: Late) -> Outcome:
    newest = f"build {late.newest.build}" if late.newest.build else "a deployment by hand"
    return Outcome(
        changed=False,
        message=f"nothing changed: {newest} of {late.newest.created} is newer than this build and was live first.",
    )


def _archive(request: Request, target: Target, proofs: Mapping[str, Proof]) -> tuple[ArchiveRef, bool]:
    """The archive in the bucket, and whether it had to be uploaded."""
    packed = pack_archive(
        request.plan,
        request.chosen,
        target.options,
        {
            job: Proven(image=proof.image, packages=proof.packages, workspace_sha256=request.workspaces[job])
            for job, proof in proofs.items()
        },
        request.kit,
        request.folder,
    )
    name = documents.archive_object(target.options.location, target.deployment.function, packed.sha256)
    standing = target.store.stat(name)
    there = standing is not None and standing.size == packed.size
    written = standing if there else _upload(target.store, name, packed.path)
    if written is None:
        raise EnvironmentFailed(
            f"gs://{target.store.bucket}/{name} stands there with other bytes than its name says.",
            reason="archive_taken",
            advice="Delete it and run again.",
        )
    if not there:
        target.say(f"archive gs://{target.store.bucket}/{name}, {packed.size} bytes")
    return ArchiveRef(name, str(written.generation), packed.sha256, packed.size), not there


def _upload(store: ObjectStore, name: str, path: Path) -> Listed | None:
    return store.create(name, path, content_type="application/gzip")


def _wanted(
    request: Request,
    target: Target,
    proofs: Mapping[str, Proof],
    *,
    archive: ArchiveRef,
    image: str,
    source: Source,
) -> Live:
    """The promotion as a value."""
    options, deployment = target.options, target.deployment
    seconds = request.plan.worst_case_seconds
    if seconds > LONGEST_BUILD:
        target.say(
            f"warning: scheduled builds may take {seconds} s, and Cloud Build ends them after {LONGEST_BUILD}"
        )
    build = scheduled_build(
        function=deployment.function,
        project=target.project,
        location=options.location,
        archive=archive,
        image=image,
        account=target.account(deployment.build_account, "builder"),
        endpoints=options.endpoints,
        worst_case_seconds=seconds,
    )
    return Live(
        archive=archive,
        place=Place(target.project, deployment.region),
        builder=BuilderRef(__version__, image, request.kit),
        notebooks=tuple(_notebook(item, request, proofs) for item in request.chosen),
        schedule=documents.Schedule(
            deployment.schedule,
            options.time_zone,
            {item.notebook.path: item.options.schedule_parameters for item in request.chosen},
        ),
        builds_per_hour=deployment.builds_per_hour,
        source=source,
        build=build,
    )


def _notebook(item: ChosenNotebook, request: Request, proofs: Mapping[str, Proof]) -> LiveNotebook:
    path = item.notebook.path
    jobs = tuple(
        LiveJob(job.job, proof.inputs, proof.image, proof.packages, proof.run)
        for job in request.plan.jobs
        if job.notebook.path == path and (proof := proofs[job.job])
    )
    kinds = scheduled_kinds(item.options, item.notebook)
    return LiveNotebook(path, kinds, jobs, item.options.allow_secret_parameters)


def _write(target: Target, wanted: Live, standing: LiveDocument | None, generation: int) -> Outcome:
    """The one write that makes it live; where another promotion came in between, everything is decided anew."""
    for _ in range(_MOST_TRIES):
        decision = decide(standing, wanted)
        if isinstance(decision, Late):
            return _late(decision)
        if isinstance(decision, Same):
            return Outcome(
                changed=False,
                message=f"nothing changed: {target.deployment.function} runs exactly this already.",
            )
        if write(target, decision.document, generation):
            return Outcome(
                changed=True, message=f"{target.deployment.function} runs {described(wanted)} from now on."
            )
        standing, generation = target.standing()
    raise EnvironmentFailed(
        f"{target.live_url} was written by others {_MOST_TRIES} times while this build tried to.",
        reason="live_contested",
        advice="Run again.",
    )


def write(target: Target, document: LiveDocument, generation: int) -> bool:
    """Write live.json over exactly this generation (0: none); False if another one stands there."""
    written = target.store.swap(target.live, document.encode(), generation=generation, content_type=_JSON)
    return written is not None


def roll_back(target: Target) -> Outcome:
    """Put live what was live before."""
    standing, generation = target.standing()
    if standing is None or not standing.earlier:
        why = "nothing is live" if standing is None else "nothing was live before this"
        raise InputRefused(
            f"{target.live_url}: {why}.",
            reason="nothing_earlier",
            advice="`deploy --status` shows what is live; `deploy` puts something live.",
        )
    document = standing.rolled_back()
    converge(target.resources(document.live), target.doors, target.say)
    if not write(target, document, generation):
        raise EnvironmentFailed(
            f"{target.live_url} was written by another deployment meanwhile; it was not rolled back.",
            reason="live_contested",
            advice="Look at `deploy --status`, and run again if it is still to be rolled back.",
        )
    return Outcome(
        changed=True, message=f"{target.deployment.function} is back at {described(document.live)}."
    )


def undeploy(target: Target) -> Outcome:
    """Remove schedule, function and topic, then live.json; archives and results stay."""
    standing, generation = target.standing()
    changes = remove(target.names(standing.live.place if standing else None), target.doors, target.say)
    there = standing is not None and target.store.delete(target.live, generation=generation)
    if not (changes or there):
        return Outcome(
            changed=False, message=f"nothing changed: {target.deployment.function} is not deployed."
        )
    return Outcome(
        changed=True,
        message=f"{target.deployment.function} is deployed no more; its archives and results stay.",
    )


def described(live: Live) -> str:
    """A promotion in a few words."""
    source = live.source
    commit = f"commit {source.commit}" if source.commit else f"archive {live.archive.sha256[:12]}"
    return f"{commit} ({f'build {source.build}' if source.build else 'by hand'}, {source.created})"
