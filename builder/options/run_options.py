"""The options that hold for a whole run, those of `deploy`, and those of `comment`."""

from __future__ import annotations

from dataclasses import dataclass

from builder import __version__
from builder.model import UTC, GcsLocation, PullRequest
from builder.options import google_names, paths, schedule
from builder.options.machine_options import DEFAULT_REGION
from builder.options.option import COMMENT, DEPLOYMENT, LIMITS, RESULTS, RUNS, SCHEDULED, option
from builder.options.pull_request import pull_request
from builder.options.secret_names import secret_version
from builder.options.values import age, boolean, list_of, one_of, or_none, whole_number

# Images are tagged by what their users can rely on, as docs/setup.md pushes them.
BUILDER_TAG = __version__.rpartition(".")[0]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """The options that name the notebooks and the file of settings."""

    notebooks: tuple[str, ...] | None = option(
        RUNS,
        "Notebooks to run: paths or globs inside the workspace, separated by commas or newlines. If an "
        "entry of `notebooks.yaml` has the same path, its settings apply.",
        "reports/demo.ipynb,models/*.ipynb",
        list_of(paths.notebook_pattern),
        default=None,
        shown="every entry of `notebooks.yaml`",
    )
    config: str | None = option(
        RUNS,
        "The file of settings, a path inside the workspace. Paths in it start at the workspace's root.",
        "ci/notebooks.yaml",
        paths.relative_path,
        default=None,
        shown="`notebooks.yaml`, if there is one",
        in_file=False,
    )


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of a run. `output` may hold `<run>`; an event is known by its message, `event`."""

    concurrency: int = option(
        LIMITS,
        "The most VMs that run at the same time. If the VMs of the run use up a quota, a job waits for one of "
        "them to end, up to ten minutes.",
        "8",
        whole_number(1, 100, "a count"),
        default=4,
    )
    fail_fast: bool = option(
        LIMITS,
        "Starts no further job once one is red.",
        "true",
        boolean,
        default=False,
    )
    max_vm_hours: int | None = option(
        LIMITS,
        "An upper bound on the hours of VMs that a run can ask for. It counts the longest life of each job's VM, times "
        "`NB_MAX_ATTEMPTS`. A run that can ask for more is refused before any call. Only the environment or a flag "
        "sets it, never a file of the repository.",
        "12",
        whole_number(1, 100_000, "hours"),
        default=None,
        in_file=False,
    )
    reuse_green: int | None = option(
        LIMITS,
        "A job whose inputs were proven green within this age is not run again: its results are copied. `never`, or "
        "an age in hours or days.",
        "7d",
        age,
        default=None,
        shown="`never`",
    )
    log_format: str = option(
        RESULTS,
        "The form of the log: `text`, or `json` with severity, job, cell and time as fields of each line.",
        "json",
        one_of(("text", "json")),
        default="text",
    )
    gcs_location: GcsLocation = option(
        RESULTS,
        "The folder in Cloud Storage for everything that a run writes.",
        "gs://my-bucket/ci",
        google_names.gcs_location,
        required=True,
    )
    run_id: str | None = option(
        RESULTS,
        "The ID of the run: letters, digits, dashes, dots, and underscores. If another run has the ID, the builder "
        "appends `-2`, `-3`, and so on.",
        "nightly-42",
        google_names.run_id,
        default=None,
        shown="`BUILD_ID`, else a new one",
    )
    output: str = option(
        RESULTS,
        "Where the jobs' folders go below the location: `results/<run>` or a folder below it; `<run>` "
        "means the run's id. A run of an event writes `versions/<date>` instead.",
        "results/<run>/figures",
        google_names.output,
        default="results/<run>",
    )
    time_zone: str = option(
        SCHEDULED,
        "The time zone of the schedule, and of the day that is `today`.",
        "Europe/Paris",
        schedule.time_zone,
        default=UTC,
    )
    event: str | None = option(
        SCHEDULED,
        "The message that asks for this run: `{}`, `today` for another day, or `parameters` that replace "
        "those of the schedule. With it, a run is a scheduled run.",
        '{"today": "2018-04-01"}',
        schedule.event,
        default=None,
        shown="none: no scheduled run",
        in_file=False,
    )
    event_id: str | None = option(
        SCHEDULED,
        "The event's ID. Of several runs with the same ID, only the first runs the notebooks; the others end as its "
        "duplicates, with its verdict.",
        "1234567890",
        schedule.event_id,
        default=None,
        in_file=False,
    )
    event_time: str | None = option(
        SCHEDULED,
        "When the event happened; its day in `NB_TIME_ZONE` is `today`.",
        "2026-07-01T06:00:00Z",
        schedule.event_time,
        default=None,
        shown="now",
        in_file=False,
    )
    alert_topic: str | None = option(
        SCHEDULED,
        "A Pub/Sub topic that gets a message for each scheduled run whose exit code is not 0.",
        "projects/my-project/topics/red-notebooks",
        or_none(schedule.topic),
        default=None,
    )


def _account(name: str, text: str) -> str | None:
    address = f"notebook-{name}@PROJECT.iam.gserviceaccount.com"
    return option(
        DEPLOYMENT,
        f"The service account that {text}.",
        address.replace("PROJECT", "my-project"),
        google_names.service_account,
        default=None,
        shown=f"`{address}`",
    )


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """The options of `deploy`. What is None follows from the project."""

    function: str = option(
        DEPLOYMENT,
        "The Cloud Function's name. The schedule has the same name, and so has the topic if `NB_TOPIC` is not set.",
        "demo-notebook",
        google_names.function,
        required=True,
    )
    schedule: str | None = option(
        DEPLOYMENT,
        "When the notebooks run, as a cron expression, in `NB_TIME_ZONE`; `none` if only messages start runs.",
        "0 6 * * 1",
        or_none(schedule.cron),
        default=None,
    )
    region: str = option(
        DEPLOYMENT,
        "The region of function, schedule and builds.",
        "europe-west1",
        google_names.region,
        shown=f"the build's region, else `{DEFAULT_REGION}`",
    )
    topic: str = option(
        DEPLOYMENT,
        "The Pub/Sub topic, a name in this project.",
        "demo-notebook",
        google_names.topic,
        shown="the function's name",
    )
    builder_image: str | None = option(
        DEPLOYMENT,
        "The image that scheduled builds run; its tag is resolved to a digest.",
        "us-central1-docker.pkg.dev/my-project/notebook-builder/notebook-builder:0.1",
        google_names.container_image,
        default=None,
        shown=f"`REGION-docker.pkg.dev/PROJECT/notebook-builder/notebook-builder:{BUILDER_TAG}`",
    )
    function_service_account: str | None = _account(
        "function", "the function runs as: it reads what is live and submits builds"
    )
    function_build_service_account: str | None = _account("function-build", "builds the function")
    trigger_service_account: str | None = _account("trigger", "delivers the messages to the function")
    build_service_account: str | None = _account("scheduler", "scheduled builds run as")
    builds_per_hour: int = option(
        DEPLOYMENT,
        "The most builds that the function submits in an hour: every account that may publish to the topic can "
        "start VMs. Further messages wait, for six hours at most.",
        "12",
        whole_number(1, 1000, "a count"),
        default=12,
    )

    def image_in(self, project: str) -> str:
        """The builder's image, with its tag or digest."""
        own = f"{self.region}-docker.pkg.dev/{project.replace(':', '/')}/notebook-builder/notebook-builder"
        return self.builder_image or f"{own}:{BUILDER_TAG}"


@dataclass(frozen=True, kw_only=True)
class Comment:
    """The options of `comment`. No file of the repository sets them: they say where a token is sent."""

    pull_request: PullRequest = option(
        COMMENT,
        "The address of the pull request (GitHub) or merge request (GitLab) that gets the comment; `https` only, on any "
        "host.",
        "https://github.com/my-name/my-repo/pull/7",
        pull_request,
        required=True,
        in_file=False,
    )
    comment_token: str = option(
        COMMENT,
        "The secret of Secret Manager that has the forge's token. Only `comment` reads it, as the build's account.",
        "projects/my-project/secrets/comment-token/versions/latest",
        secret_version,
        required=True,
        in_file=False,
    )
