"""Puts proven notebooks live, in the order of the work: proofs, image, what stands there, archive, resources, one write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder import __version__
from builder.act.proofs import Proof
from builder.deploy import live as documents
from builder.deploy.archive import Proven, pack_archive
from builder.deploy.beliefs import Claim, proven
from builder.deploy.build import scheduled_build
from builder.deploy.converge import converge
from builder.deploy.decide import Decision, Late, Promote, decide, is_late
from builder.deploy.image import by_digest
from builder.deploy.live import (
    ArchiveRef,
    BuilderRef,
    Live,
    LiveJob,
    LiveNotebook,
    Source,
)
from builder.deploy.refusals import call_refused, contested, with_progress
from builder.deploy.settle import settle
from builder.deploy.target import Outcome, Target
from builder.deploy.work import Change, caller_of
from builder.errors import EnvironmentFailed
from builder.plan.event import scheduled_kinds
from builder.plan.make import LONGEST_BUILD, ChosenNotebook, Plan
from builder.ports import CallFailed

_MOST_TRIES = 10  # writes of live.json that others got in before


@dataclass(frozen=True)
class Request:
    """What is to go live, as far as it is known before the first call: the plan, and the hash of every job's inputs and files."""

    plan: Plan
    chosen: Sequence[ChosenNotebook]
    claims: Sequence[Claim]
    workspaces: Mapping[str, str]
    kit: str
    folder: Path


def promote(request: Request, target: Target) -> Outcome:
    """Put what the request holds live. Raises BuilderError; killed anywhere and run again, it ends in the same state."""
    proofs = proven(target.store, request.plan.location, request.claims)
    for proof in proofs.values():
        target.say(f"{proof.notebook}: green in run {proof.run}, on {proof.image}")
    source = _source(target)
    began = source.created if source.build else None
    image = by_digest(target.deployment.image_in(target.project), target.doors.registry, began)
    target.say(f"builder {image}")
    if late := is_late(target.standing()[0], source):
        return _late(late)
    archive, uploaded = _archive(request, target, proofs)
    wanted = _wanted(request, target, proofs, archive=archive, image=image, source=source)
    target.places.enter(wanted.place)
    # The function reads whatever is live, so it may be there before; the schedule belongs to what is live, and comes after.
    changes = converge(target.resources(wanted), target.doors, target.say, schedule=False)
    with writing(target, wanted, changes):
        ended = _write(target, wanted)
    changes += settle(target, whole=isinstance(ended, Late))
    if isinstance(ended, Late):
        return _late(ended)
    if isinstance(ended, Promote):
        return Outcome(
            changed=True, message=f"{target.deployment.function} runs {described(wanted)} from now on."
        )
    if changes or uploaded:
        made = ", ".join(map(str, changes)) or "archive uploaded again"
        return Outcome(changed=True, message=f"{made}; {target.deployment.function} runs the same as before.")
    return Outcome(
        changed=False, message=f"nothing changed: {target.deployment.function} runs exactly this already."
    )


def _source(target: Target) -> Source:
    """Which build this is. One by hand is as new as Cloud Build's clock says, and so is one that Cloud Build does not know."""
    build = target.options.build
    regions = dict.fromkeys((build.location or "global", target.deployment.region, "global"))
    for region in regions if build.build_id else ():
        if found := target.doors.builds.get(build.build_id or "", region):
            return Source(found.id, found.created, build.commit_sha or found.commit)
    if build.build_id:
        target.say(
            f"warning: Cloud Build knows no build {build.build_id} in {', '.join(regions)} (LOCATION says where it runs): this "
            "counts as a deployment by hand, newer than every build before it"
        )
    elif build.builder_output:
        target.say(
            "warning: BUILD_ID is not set in this build (options: {automapSubstitutions: true} passes it): this counts as a "
            "deployment by hand, newer than every build before it, whichever of them ends later"
        )
    return Source(None, target.doors.builds.now(target.deployment.region), build.commit_sha)


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
    if standing is not None and standing.size == packed.size:
        return ArchiveRef(name, str(standing.generation), packed.sha256, packed.size), False
    written = target.store.create(name, packed.path, content_type="application/gzip")
    if written is None:
        raise EnvironmentFailed(
            f"gs://{target.store.bucket}/{name} stands there with other bytes than its name says.",
            reason="archive_taken",
            advice="Delete it and run again.",
        )
    target.say(f"archive gs://{target.store.bucket}/{name}, {packed.size} bytes")
    return ArchiveRef(name, str(written.generation), packed.sha256, packed.size), True


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
    if request.plan.exceeds_longest_build:
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
        place=target.place,
        accounts=target.accounts,
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


@contextmanager
def writing(target: Target, wanted: Live, changes: Sequence[Change]) -> Iterator[None]:
    """Where live.json cannot be written, say what was done before, and what it means. Raises BuilderError for CallFailed."""
    try:
        yield
    except CallFailed as failure:
        refused = call_refused(failure, caller_of(target.doors))
        done = [str(change) for change in changes]
        raise with_progress(refused, done, ("live.json", "schedule"), _split(target, wanted)) from failure


def _split(target: Target, wanted: Live) -> str:
    """What it means that the function is as wanted, and the schedule is not; "" where that does no harm, or cannot be told."""
    try:
        job = target.doors.schedules.get(target.names(wanted.place).job_path)
    except CallFailed:
        return ""
    there = job.config.topic.rpartition("/")[2] if job else ""
    if there in {"", wanted.place.topic}:
        return ""
    return (
        f"The schedule still publishes to {there}, and the function hears {wanted.place.topic} by now: "
        "nothing runs before a deploy succeeds."
    )


def _write(target: Target, wanted: Live) -> Decision:
    """The one write that makes it live; where another promotion came in between, everything is decided anew."""
    for _ in range(_MOST_TRIES):
        standing, generation = target.standing()
        decision = decide(standing, wanted)
        if not isinstance(decision, Promote) or target.write(decision.document, generation):
            return decision
    raise contested(target.live_url)


def described(live: Live) -> str:
    """A promotion in a few words."""
    source = live.source
    commit = f"commit {source.commit}" if source.commit else f"archive {live.archive.sha256[:12]}"
    return f"{commit} ({f'build {source.build}' if source.build else 'by hand'}, {source.created})"
