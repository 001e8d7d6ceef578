"""Makes proven notebooks live, in this order: proofs, image, current document, archive, resources, live.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from builder import __version__
from builder.act.proofs import Proof
from builder.deploy import live as documents
from builder.deploy.archive import pack_archive
from builder.deploy.build import scheduled_build
from builder.deploy.context import DeploymentContext
from builder.deploy.image import by_digest
from builder.deploy.live import (
    ArchiveRef,
    BuilderRef,
    Live,
    LiveDocument,
    LiveJob,
    LiveNotebook,
    Newest,
    Source,
)
from builder.deploy.proof_lookup import ProofRequest, find_proofs
from builder.deploy.reconcile import progress, reconcile
from builder.deploy.reconcile_schedule import reconcile_schedule
from builder.deploy.refusals import contested
from builder.deploy.steps import STAGES, Step
from builder.errors import EnvironmentFailed, ProjectSetup
from builder.options.day import moment
from builder.plan.build_plan import MAX_BUILD_SECONDS, ChosenNotebook, Plan
from builder.plan.event import scheduled_types
from builder.ports import CallFailed

_MAX_TRIES = 10  # of writing live.json while others write it
_LATER = ("live.json", "schedule")  # what a promotion writes after the resources


@dataclass(frozen=True)
class PromotionRequest:
    """The notebooks to make live, before the first call: the plan, and the hash of every job's inputs."""

    plan: Plan
    chosen: Sequence[ChosenNotebook]
    proof_requests: Sequence[ProofRequest]
    kit: str
    folder: Path


def promote(request: PromotionRequest, context: DeploymentContext) -> str:
    """Make the request live. Returns the sentence that reports it.

    Raises BuilderError. A process that was killed anywhere and runs again ends in the same state.
    """
    proofs = find_proofs(context.store, request.plan.location, request.proof_requests)
    for proof in proofs.values():
        context.log(f"{proof.notebook}: green in run {proof.run}, on {proof.image}")
    source = _source(context)
    began = source.created if source.build else None
    image = by_digest(context.deployment.image_in(context.project), context.clients.registry, began)
    context.log(f"builder {image}")
    _warn_of_others(request, context)
    if newer := newer_than(source, context.current()[0]):
        return _late(newer)
    archive, uploaded = _archive(request, context, proofs)
    wanted = _wanted(request, context, proofs, archive=archive, image=image, source=source)
    if not uploaded and isinstance(decide(context.current()[0], wanted), LiveDocument):
        # live.json is written last. Without an upload of the archive, nothing has shown yet that the account may write.
        context.store.try_create(context.live)
    changes = prepare_resources(context, wanted)
    with explain_write_errors(context, wanted, changes):
        ended = _write(context, wanted)
    changes += reconcile_schedule(context, whole=isinstance(ended, Newest))
    if isinstance(ended, Newest):
        return _late(ended)
    if ended is not None:
        return f"{context.deployment.function} runs {described(wanted)} from now on."
    if changes:
        return f"{', '.join(step.done for step in changes)}; {context.deployment.function} runs the same as before."
    return f"nothing changed: {context.deployment.function} runs exactly this already."


def decide(current: LiveDocument | None, wanted: Live) -> LiveDocument | Newest | None:
    """The document to write; or the newer build that has promoted something; or None if exactly this is live.

    `current` is None if nothing is live.
    """
    if current is None:
        return documents.first(wanted)
    if newer := newer_than(wanted.source, current):
        return newer
    return None if current.live.content() == wanted.content() else current.promoted(wanted)


def newer_than(source: Source, current: LiveDocument | None) -> Newest | None:
    """The build that promoted something last, if it was created later than this one; else None."""
    if current is None or moment(source.created) >= moment(current.newest.created):
        return None
    return current.newest


def prepare_resources(context: DeploymentContext, wanted: Live) -> tuple[Step, ...]:
    """Create or update what a promotion needs before it is live. Returns the steps that changed something.

    The function reads live.json for each event, so it may exist before. The schedule belongs to what is live, and comes
    after.
    """
    context.locations.add(wanted.location)
    return reconcile(context.resources(wanted), context.clients, context.log, STAGES[:-1], later=_LATER)


def _source(context: DeploymentContext) -> Source:
    """The build that deploys.

    A deployment by hand, or by a build that Cloud Build does not know, counts as created now.
    """
    build = context.options.build
    regions = dict.fromkeys((build.location or "global", context.deployment.region, "global"))
    image = context.deployment.image_in(context.project)
    for region in regions if build.build_id else ():
        if found := context.clients.builds.get(build.build_id or "", region):
            if image not in found.images:
                context.log(
                    f"warning: no step of this build names {image}, which scheduled builds will run; NB_BUILDER_IMAGE can name "
                    "the image of the steps"
                )
            return Source(found.id, found.created, build.commit_sha or found.commit)
    if build.build_id:
        context.log(
            f"warning: Cloud Build knows no build {build.build_id} in {', '.join(regions)} (LOCATION says where it runs): "
            "this deployment counts as made by hand, and newer than every build before it"
        )
    elif build.builder_output:
        context.log(
            "warning: BUILD_ID is not set in this build (options: {automapSubstitutions: true} passes it): this deployment "
            "counts as made by hand, and newer than every build that started before it"
        )
    return Source(None, context.clients.builds.now(context.deployment.region), build.commit_sha)


def _warn_of_others(request: PromotionRequest, context: DeploymentContext) -> None:
    """Warn of other functions that run the same notebooks, such as the one before a change of NB_FUNCTION."""
    paths = {item.notebook.path for item in request.chosen}
    prefix, end = context.options.gcs_location.object("live") + "/", "/live.json"
    for item in context.store.list(prefix):
        function = item.name.removeprefix(prefix).removesuffix(end)
        raw = context.store.read(item.name) if item.name.endswith(end) else None
        if raw is None or function == context.deployment.function:
            continue
        try:
            other = documents.decode(raw, item.name).live
        except ProjectSetup:  # another version wrote it
            continue
        if same := sorted(paths & {notebook.path for notebook in other.notebooks}):
            context.log(
                f"warning: function {function} is live too, and runs {', '.join(same)}; to remove it: deploy --undeploy "
                f"--function {function} --region {other.location.region}"
            )


def _late(newest: Newest) -> str:
    name = f"build {newest.build}" if newest.build else "a deployment by hand"
    return f"nothing changed: {name} of {newest.created} is newer than this build and was live first."


def _archive(
    request: PromotionRequest, context: DeploymentContext, proofs: Mapping[str, Proof]
) -> tuple[ArchiveRef, bool]:
    """The archive in the bucket, and True if it had to be uploaded."""
    packed = pack_archive(request.plan, request.chosen, context.options, proofs, request.kit, request.folder)
    name = documents.archive_object(context.options.gcs_location, context.deployment.function, packed.sha256)
    existing = context.store.stat(name)
    if existing is not None and existing.size == packed.size:
        return ArchiveRef(name, str(existing.generation), packed.sha256, packed.size), False
    written = context.store.create(name, packed.path, content_type="application/gzip")
    if written is None:
        raise EnvironmentFailed(
            f"gs://{context.store.bucket}/{name} exists, but its content does not match the hash in its name.",
            reason="archive_taken",
            advice="Delete it and run again.",
        )
    context.log(f"archive gs://{context.store.bucket}/{name}, {packed.size} bytes")
    return ArchiveRef(name, str(written.generation), packed.sha256, packed.size), True


def _wanted(
    request: PromotionRequest,
    context: DeploymentContext,
    proofs: Mapping[str, Proof],
    *,
    archive: ArchiveRef,
    image: str,
    source: Source,
) -> Live:
    """The promotion as a value."""
    options, deployment = context.options, context.deployment
    seconds = request.plan.worst_case_seconds
    if request.plan.exceeds_longest_build:
        context.log(
            f"warning: scheduled builds may take {seconds} s, and Cloud Build ends them after {MAX_BUILD_SECONDS}"
        )
    build = scheduled_build(
        function=deployment.function,
        project=context.project,
        location=options.gcs_location,
        archive=archive,
        image=image,
        account=context.account(deployment.build_service_account, "notebook-scheduler"),
        endpoints=options.endpoints,
        worst_case_seconds=seconds,
    )
    return Live(
        archive=archive,
        location=context.location,
        accounts=context.accounts,
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


def _notebook(item: ChosenNotebook, request: PromotionRequest, proofs: Mapping[str, Proof]) -> LiveNotebook:
    path = item.notebook.path
    jobs = tuple(
        LiveJob(job.job, proof.inputs, proof.image, proof.packages, proof.run)
        for job in request.plan.jobs
        if job.notebook.path == path and (proof := proofs[job.job])
    )
    types = scheduled_types(item.options, item.notebook)
    return LiveNotebook(path, types, jobs, item.options.allow_secret_parameters)


def explain_write_errors(
    context: DeploymentContext, wanted: Live, changes: Sequence[Step]
) -> AbstractContextManager[None]:
    """The context in which live.json is written: its errors say what was done before."""
    return progress(context.clients, changes, _LATER, lambda: _split(context, wanted))


def _split(context: DeploymentContext, wanted: Live) -> str:
    """Return a warning if the function has moved to another topic before its schedule; "" if not, or if unknown."""
    try:
        job = context.clients.schedules.get(context.names(wanted.location).job_path)
    except CallFailed:
        return ""
    topic = job.config.topic.rpartition("/")[2] if job else ""
    if topic in {"", wanted.location.topic}:
        return ""
    return (
        f"The schedule still publishes to {topic}, and the function receives from {wanted.location.topic} now: "
        "nothing runs before a deploy succeeds."
    )


def _write(context: DeploymentContext, wanted: Live) -> LiveDocument | Newest | None:
    """Write live.json, which makes the promotion live. If another promotion comes in between, decide again."""
    for _ in range(_MAX_TRIES):
        current, generation = context.current()
        decision = decide(current, wanted)
        if not isinstance(decision, LiveDocument) or context.write(decision, generation):
            return decision
    raise contested(context.live_url)


def described(live: Live) -> str:
    """A short description of a promotion, for logs."""
    source = live.source
    commit = f"commit {source.commit}" if source.commit else f"archive {live.archive.sha256[:12]}"
    return f"{commit} ({f'build {source.build}' if source.build else 'by hand'}, {source.created})"
