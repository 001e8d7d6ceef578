"""`comment`: writes a run's summary as one comment on the pull request, and sets the status of the commit.

It ends with the exit code of the run. A build whose step `run` has `allowFailure` is therefore still red.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from builder import __version__, gcloud
from builder.act.run_id import claim_object, numbered
from builder.commands import Context
from builder.errors import InputRefused
from builder.forge.forges import CONTEXT, Forge, Status
from builder.forge.refusals import forge_error, secret_error, unfit_token
from builder.model import GcsLocation
from builder.options import Options
from builder.options.environment import Build
from builder.ports import CallFailed, ObjectStore
from builder.refusals import call_error
from builder.report import comment as report
from builder.strict_json import UnreadableJson, read_document, readable
from builder.waiting import RealClock, retry_transient

BUDGET = 120.0  # seconds for each thing that the forge is asked for, with all repetitions
_TOKEN = re.compile(r"[!-~]{8,1000}")


def execute(options: Options, context: Context) -> int:
    """Write the comment and the status. Returns the run's exit code. Raises BuilderError if there is no token."""
    return context.carry_out(lambda: _comment(options, context), lambda signal: signal.exit_code)


def _comment(options: Options, context: Context) -> int:
    from builder.gcp.clients import open_access
    from builder.gcp.rest import Rest
    from builder.gcp.secrets import GoogleSecrets
    from builder.gcp.storage import GoogleObjectStore

    wanted, commit = options.comment, options.build.commit_sha
    if wanted is None or commit is None or options.run_id is None:
        raise AssertionError
    context.console.line(f"notebook-builder {__version__}: comment on {wanted.pull_request.url}")
    access, location = open_access(options.project, options.endpoints), options.gcs_location
    store = GoogleObjectStore(access, location.bucket, context.clock)
    run, text = _gravest(store, location, options) or _not_judged(options, context, access.project)
    forge = Forge(
        wanted.pull_request,
        _token(GoogleSecrets(Rest(access, context.clock)).access, wanted.comment_token),
        context.clock,
    )
    status = Status(run.passed, run.description, run.address)
    errors = []
    for what, action in (
        ("the comment", lambda: _write(forge, text)),
        (f"the status {CONTEXT} of commit {commit[:12]}", lambda: forge.set_status(commit, status)),
    ):
        try:
            _retried(action, context.clock)
            context.console.line(f"{what}: written")
        except CallFailed as failure:
            errors.append(forge_error(failure, wanted.pull_request, wanted.comment_token))
    report.ended(context.console, run, errors)
    return report.exit_code(run, errors)


def _gravest(
    store: ObjectStore, location: GcsLocation, options: Options
) -> tuple[report.Reported, str] | None:
    """Return the gravest of this build's runs with this id, or this id and a number, and the text of its comment.

    Returns None if there is none, or if one of them was not judged and none is red. Raises BuilderError.
    """
    wanted = options.run_id or ""
    try:
        runs = list(_runs(store, location, wanted, options.build))
        judged = [facts for facts in runs if facts]
        facts = report.gravest(judged)
        if facts is None or (facts.passed and len(judged) < len(runs)):
            return None
        markdown = store.read(location.object("results", facts.run, "summary.md"))
    except CallFailed as failure:
        raise call_error(failure) from failure
    text = markdown.decode(errors="replace") if markdown else report.short_summary(facts)
    return facts, report.comment_text(text, facts.address)


def _runs(
    store: ObjectStore, location: GcsLocation, wanted: str, build: Build
) -> Iterator[report.Reported | None]:
    """Yield the facts of each run of this commit in this build; None: it left no summary. Raises InputRefused.

    An id can be that of an earlier build. Its summary would be another verdict on the same commit.
    """
    for run in numbered(wanted):
        claim = readable(store.read(claim_object(location, run)))
        raw = store.read(location.object("results", run, "summary.json"))
        if raw is None and claim is None:
            return
        if raw is None and claim and build.build_id and claim.get("build") == build.build_id:
            yield None
        if raw is not None and (facts := _facts(raw, run, location, build)):
            yield facts


def _facts(raw: bytes, run: str, location: GcsLocation, build: Build) -> report.Reported | None:
    """Return the facts of a summary; None if it is of another commit or build. Raises InputRefused."""
    try:
        summary = read_document(raw, 1)
        if summary.get("commit") != build.commit_sha or summary["build"] != (build.build_id or ""):
            return None
        return report.reported(run, summary, location.url("results", run))
    except (UnreadableJson, KeyError, TypeError, ValueError) as error:
        raise InputRefused(
            f"{location.url('results', run, 'summary.json')} is no summary that this version can read: {error}",
            reason="no_summary",
            advice="Use the same image for both steps.",
        ) from error


def _not_judged(options: Options, context: Context, project: str) -> tuple[report.Reported, str]:
    """Return a run that left no summary of this commit. The comment of an earlier commit must not stay."""
    build, run = options.build, options.run_id or ""
    region = "" if build.location == "global" else build.location or ""
    address = gcloud.build_page(build.build_id or "", project, region)
    context.console.line(
        f"{options.gcs_location.url('results', run)}/ has no summary of commit {build.commit_sha}: the step `run` ended before "
        "its notebooks were judged, or it did not get the same COMMIT_SHA and run id"
    )
    context.console.line("  do: Look at the last lines of the step `run`; they say what to do.")
    facts = report.not_judged(run, address)
    return facts, report.comment_text(report.short_summary(facts), facts.address)


def _token(access: Callable[[str], bytes], secret: str) -> str:
    """Return the forge's token; no error contains it. Raises ProjectSetup and EnvironmentFailed."""
    try:
        token = access(secret).decode("ascii", errors="replace").strip()
    except CallFailed as failure:
        raise secret_error(failure, secret) from failure
    if not _TOKEN.fullmatch(token):
        raise unfit_token(secret)
    return token


def _write(forge: Forge, text: str) -> None:
    """Replace the token user's own comment with the marker, or write the first one.

    Everybody can write the marker, so somebody else's comment with it is left alone. A repetition looks again, since
    the comment can exist although the reply was lost.
    """
    user = forge.user()
    own = [item for item in forge.comments() if item.author == user and item.body.startswith(report.MARKER)]
    if own:
        forge.update(own[0].id, text)
    else:
        forge.create(text)


def _retried(action: Callable[[], None], clock: RealClock) -> None:
    retry_transient(action, budget=BUDGET, clock=clock)
