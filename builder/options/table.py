"""The one declaration of every option: name, type, default, help. Parser, --help, README and JSON Schema come from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from builder import __version__
from builder.model import UTC
from builder.options import google_names as names
from builder.options import packages, schedule, secret_names, values
from builder.options.boot_disks import DISK_TYPES

NOT_YET = "not in this version"
# Images are tagged by what their users can rely on, as docs/setup.md pushes them.
BUILDER_TAG = __version__.rpartition(".")[0]
PROVISIONING = ("standard", "spot", "spot-then-standard")
DEFAULT_CONFIG = "notebooks.yaml"
DEFAULT_REGION = "us-central1"
DEFAULT_IMAGE_FAMILY = "common-cu129-ubuntu-2404-nvidia-580"
DEFAULT_NETWORK = "default"
LONGEST_LIFE = 120 * 24 * 3600  # seconds; the most that Compute Engine's maxRunDuration takes
# Seconds that a VM is given beyond boot and notebook: outputs to move, and the server's own lateness.
UPLOAD_ALLOWANCE = 600
SERVER_ALLOWANCE = 300

COMMANDS = {
    "run": "runs the notebooks, each on a VM of its own, judges and publishes them (the default)",
    "plan": "prints what run would do; calls nothing",
    "check": "asks Google whether run can: APIs, permissions, accounts, image, machines, quota, bucket, network",
    "reap": "deletes VMs of this tool whose own deadline has passed; touches nothing else",
    "deploy": "puts notebooks live that a recorded run found green: topic, function, schedule, and what they run",
    "options": "prints every option",
}
# The commands that read the options of a run.
PLANNING = ("run", "plan", "check", "deploy")
# What `deploy` does instead of putting something live, by its flag.
DEPLOY_ACTIONS = {
    "status": "prints what is live and how it stands; changes nothing",
    "rollback": "puts live what was live before",
    "undeploy": "removes schedule, function, topic and what is live; results and archives stay",
}
# All that those read.
DEPLOY_ACTIONS_READ = ("gcs_location", "function")
FORMATS = {
    "plan": ("text", "json"),
    "check": ("text", "json"),
    "options": ("text", "markdown", "json-schema"),
}
GROUPS = ("What runs", "The virtual machine", "Limits and retries", "Results", "Scheduled runs", "Deployment")

Schema = dict[str, Any]
_TEXT: Schema = {"type": "string"}
_BOOLEAN: Schema = {"type": "boolean"}
_PATHS: Schema = {"type": ["array", "string"], "items": {"type": "string"}, "minItems": 1, "minLength": 1}


@dataclass(frozen=True)
class Option:
    """One option. `name` is its key in notebooks.yaml; `default` is a value as `parse` returns it."""

    name: str
    group: str
    help: str
    example: str
    parse: values.Parser = values.text
    schema: Schema = field(default_factory=lambda: _TEXT)
    default: Any = None
    default_shown: str = ""
    scope: Literal["run", "job"] = "job"
    required: bool = False
    in_file: bool = True
    available: bool = True

    @property
    def env(self) -> str:
        """The environment variable."""
        return "NB_" + self.name.upper()

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return "--" + self.name.replace("_", "-")

    @property
    def switch(self) -> bool:
        """Whether the bare flag means true."""
        return self.schema == _BOOLEAN

    @property
    def shown(self) -> str:
        """The default in words."""
        if self.default_shown or self.default is None:
            return self.default_shown or "none"
        return str(self.default).lower() if isinstance(self.default, bool) else str(self.default)

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that read it."""
        return ("deploy",) if self.group == _DEPLOY else PLANNING


def _number(lowest: int, highest: int) -> Schema:
    return {"type": "integer", "minimum": lowest, "maximum": highest}


def _later(name: str, group: str, text: str, example: str) -> Option:
    return Option(name, group, text, example, available=False)


def _account(what: str, text: str, *, default: str = "") -> Option:
    address = f"{default or what.replace('_', '-')}@PROJECT.iam.gserviceaccount.com"
    return Option(
        f"{what}_service_account",
        _DEPLOY,
        f"The service account that {text}.",
        address.replace("PROJECT", "my-project"),
        names.service_account,
        default_shown=f"`{address}`",
        scope="run",
    )


_RUNS, _MACHINE, _LIMITS, _RESULTS, _SCHEDULED, _DEPLOY = GROUPS

OPTIONS: tuple[Option, ...] = (
    Option(
        "notebooks",
        _RUNS,
        "Notebooks to run: paths or globs inside the workspace, separated by commas or newlines. An entry of `notebooks.yaml` "
        "with the same path lends its settings.",
        "reports/demo.ipynb,models/*.ipynb",
        values.list_of(values.notebook_pattern),
        _PATHS,
        default_shown="every entry of `notebooks.yaml`",
        scope="run",
    ),
    Option(
        "config",
        _RUNS,
        "The file of settings, a path inside the workspace. Its paths count from the workspace too, wherever it lies.",
        "ci/notebooks.yaml",
        values.relative_path,
        default_shown="`notebooks.yaml`, if there is one",
        scope="run",
        in_file=False,
    ),
    Option(
        "parameters",
        _RUNS,
        "Parameters for the notebook, a mapping in JSON or YAML. A name that the notebook does not declare is a mistake. "
        "Lists under `matrix` fan out: one job for each combination of their values.",
        '{"city": "Paris", "matrix": {"days": [7, 30]}}',
        values.parameters,
        {"type": ["object", "string"]},
        {},
        "none",
    ),
    Option(
        "parameters_file",
        _RUNS,
        "A JSON or YAML file in the workspace with parameters. Those of `NB_PARAMETERS` are put over them, name by name.",
        "ci/parameters.yaml",
        values.relative_path,
    ),
    Option(
        "allow_secret_parameters",
        _RUNS,
        "Accepts parameters that look like passwords, tokens or keys. They would be readable in the bucket, in the executed "
        "notebook, its pages and the build's log, so they are mistakes otherwise.",
        "true",
        values.boolean,
        _BOOLEAN,
        default=False,
    ),
    Option(
        "include",
        _RUNS,
        "Globs, from the workspace's root, of the files that go to the VM with the notebook.",
        "reports/**,shared/*.py",
        values.list_of(values.relative_path),
        _PATHS,
        default_shown="the notebook's folder, as git tracks it",
    ),
    Option(
        "kernel",
        _RUNS,
        "The kernel's name. An unknown Python kernel named by the notebook becomes `python3`; the log says so.",
        "python3",
        names.kernel,
        default_shown="from the notebook",
    ),
    Option(
        "expect",
        _RUNS,
        "Globs of files that must exist in the job's published folder and not be empty; `glob>=SIZE` sets a minimum size "
        "(B, KB, KiB, MB, MiB, GB, GiB).",
        "outputs/*.csv>=10KB",
        values.list_of(values.expectation),
        _PATHS,
        (),
        "none",
    ),
    Option(
        "env",
        _RUNS,
        "Plain environment variables for the kernel and the set-up script. What is secret belongs into `NB_SECRETS`.",
        "STAGE=test,REGION=emea",
        packages.environment,
        {"type": ["object", "string"], "additionalProperties": {"type": ["string", "integer"]}},
        {},
        "none",
    ),
    Option(
        "secrets",
        _RUNS,
        "Secrets of Secret Manager, `NAME=projects/PROJECT/secrets/SECRET/versions/VERSION`, the version a number, an alias or "
        "`latest`. The VM's account reads them, into the kernel's environment only; see docs/secrets.md.",
        "MAPS_KEY=projects/my-project/secrets/maps-key/versions/3",
        secret_names.secrets,
        {"type": ["object", "array", "string"], "additionalProperties": _TEXT, "items": _TEXT},
        {},
        "none",
    ),
    Option(
        "requirements",
        _RUNS,
        "A requirements file (pip's format) inside the workspace: packages that the VM installs beside the image's own, which "
        "they never replace.",
        "reports/requirements.txt",
        values.or_none(packages.workspace_file),
    ),
    Option(
        "index_url",
        _RUNS,
        "The package index that they come from, and the only one.",
        "https://packages.example.com/simple",
        values.or_none(packages.index_url),
        default_shown="uv's own default",
    ),
    Option(
        "setup",
        _RUNS,
        "A script inside the workspace that the VM runs first, in the notebook's folder: by its `#!` line, else by bash.",
        "reports/setup.sh",
        values.or_none(packages.workspace_file),
    ),
    _later("changed_only", _RUNS, "Runs only notebooks that changed.", "true"),
    _later("base_ref", _RUNS, "What they are compared with.", "main"),
    Option(
        "zones",
        _MACHINE,
        "Zones in order of preference; a region's name means its zones.",
        "us-central1-a,us-east1",
        values.list_of(names.zone_or_region, at_most=100),
        _PATHS,
        default_shown=f"the build's region, else `{DEFAULT_REGION}`",
    ),
    Option(
        "machine_type",
        _MACHINE,
        "The VM's machine type. `g2-`, `g4-`, `a2-`, `a3-` and `a4-` types have their GPUs built in.",
        "n1-standard-8",
        names.machine_type,
        default="e2-standard-4",
        default_shown="`e2-standard-4`",
    ),
    Option(
        "accelerator",
        _MACHINE,
        "GPUs to attach to an `n1-` machine, `TYPE:COUNT`; `none` for none.",
        "nvidia-tesla-t4:1",
        values.or_none(names.accelerator),
    ),
    Option(
        "image_family",
        _MACHINE,
        "The image family. It is resolved once per run to an exact image, which the log names.",
        "common-cu129-ubuntu-2404-nvidia-580",
        names.image_family,
        default_shown=f"`{DEFAULT_IMAGE_FAMILY}`",
    ),
    Option("image", _MACHINE, "An exact image, instead of a family.", "my-image-v20260701", names.image),
    Option(
        "image_project",
        _MACHINE,
        "The project that the image or its family is in.",
        "my-images",
        names.project,
        default="deeplearning-platform-release",
        default_shown="`deeplearning-platform-release`",
    ),
    Option(
        "boot_disk_gb",
        _MACHINE,
        "Size of the boot disk in GB; at least 40 with a GPU.",
        "200",
        values.whole_number(10, 65536, "GB"),
        _number(10, 65536),
        50,
    ),
    Option(
        "boot_disk_type",
        _MACHINE,
        "Type of the boot disk. Series of the fourth generation and newer take `hyperdisk-balanced` only, most older ones none.",
        "pd-ssd",
        values.one_of(DISK_TYPES),
        {"enum": list(DISK_TYPES)},
        default_shown="`pd-balanced` or `hyperdisk-balanced`, by machine series",
    ),
    Option(
        "secure_boot",
        _MACHINE,
        "Switches Secure Boot on or off. With it, a GPU's driver loads only if it is signed.",
        "true",
        values.boolean,
        _BOOLEAN,
        default_shown="on where the image supports UEFI and the VM has no GPU",
    ),
    Option(
        "network",
        _MACHINE,
        "The VPC network, by name or as projects/PROJECT/global/networks/NAME.",
        "ci",
        names.network,
        default_shown=f"`{DEFAULT_NETWORK}`, or the subnetwork's own",
    ),
    Option(
        "subnetwork",
        _MACHINE,
        "The subnetwork, by name or as projects/PROJECT/regions/REGION/subnetworks/NAME.",
        "ci-us",
        names.subnetwork,
    ),
    Option(
        "external_ip",
        _MACHINE,
        "Gives the VM an external IP address.",
        "true",
        values.boolean,
        _BOOLEAN,
        default=False,
    ),
    Option(
        "vm_service_account",
        _MACHINE,
        "The service account that the VM, and so the notebook, runs as.",
        "notebook-vm@my-project.iam.gserviceaccount.com",
        names.service_account,
        required=True,
    ),
    Option(
        "labels",
        _MACHINE,
        "Labels for the VM and its disk; keys that begin with `nb-` are this tool's own.",
        "team=data,cost-centre=42",
        names.labels,
        {"type": ["object", "string"], "additionalProperties": {"type": ["string", "integer"]}},
        {},
        "none",
    ),
    Option(
        "provisioning",
        _MACHINE,
        "`standard`; `spot`, which costs far less and may be taken back at any time; or `spot-then-standard`, which takes a "
        "standard VM for the last attempt, and where no zone has a Spot VM.",
        "spot-then-standard",
        values.one_of(PROVISIONING),
        {"enum": list(PROVISIONING)},
        "standard",
        "`standard`",
    ),
    Option(
        "timeout",
        _LIMITS,
        "Seconds that the notebook may run. The build's own `timeout` must exceed what `plan` prints.",
        "3600",
        values.seconds(1, LONGEST_LIFE),
        _number(1, LONGEST_LIFE),
        2400,
    ),
    Option(
        "cell_timeout",
        _LIMITS,
        "Seconds that one cell may run; `none` for no limit of its own.",
        "600",
        values.or_none(values.seconds(1, LONGEST_LIFE)),
        {"type": ["integer", "string"], "minimum": 1, "maximum": LONGEST_LIFE},
    ),
    Option(
        "boot_timeout",
        _LIMITS,
        "Seconds from the VM's start to its first sign of life.",
        "900",
        values.seconds(1, 7200),
        _number(1, 7200),
        600,
    ),
    Option(
        "setup_timeout",
        _LIMITS,
        "Seconds that the set-up script may run.",
        "1200",
        values.seconds(1, LONGEST_LIFE),
        _number(1, LONGEST_LIFE),
        600,
    ),
    Option(
        "requirements_timeout",
        _LIMITS,
        "Seconds that resolving and installing the requirements may take.",
        "1200",
        values.seconds(1, LONGEST_LIFE),
        _number(1, LONGEST_LIFE),
        600,
    ),
    Option(
        "max_attempts",
        _LIMITS,
        "How often a job is started at most. Only faults of the environment are retried, never the notebook's own failure.",
        "1",
        values.whole_number(1, 10, "a count"),
        _number(1, 10),
        3,
    ),
    Option(
        "concurrency",
        _LIMITS,
        "How many VMs run at the same time. A job for which the quota has no room waits for another one to end, ten minutes at "
        "the most.",
        "8",
        values.whole_number(1, 100, "a count"),
        _number(1, 100),
        4,
        scope="run",
    ),
    Option(
        "fail_fast",
        _LIMITS,
        "Starts no further job once one is red.",
        "true",
        values.boolean,
        _BOOLEAN,
        default=False,
        scope="run",
    ),
    Option(
        "gcs_location",
        _RESULTS,
        "Where in Cloud Storage everything goes that a run writes.",
        "gs://my-bucket/ci",
        names.gcs_location,
        scope="run",
        required=True,
    ),
    Option(
        "run_id",
        _RESULTS,
        "Names the run: letters, digits, dashes, dots and underscores. One that is taken gets `-2`, `-3` and so on.",
        "nightly-42",
        names.run_id,
        default_shown="`BUILD_ID`, else a new one",
        scope="run",
    ),
    Option(
        "output",
        _RESULTS,
        "Where the jobs' folders go below the location: `results/<run>` or a folder below it; `<run>` stands for the run's id. "
        "A run of an event writes `versions/<date>` instead.",
        "results/<run>/figures",
        names.output,
        default="results/<run>",
        default_shown="`results/<run>`",
        scope="run",
    ),
    Option(
        "schedule_parameters",
        _SCHEDULED,
        "Parameters of scheduled runs, put over `NB_PARAMETERS`. Their texts may hold dates: `{today}`, `{today-7d}`, "
        "`{today-1m:%Y-%m}`; see docs/deploy.md.",
        '{"start_date": "{today-30d}", "end_date": "{today}"}',
        schedule.schedule_parameters,
        {"type": ["object", "string"]},
        {},
        "none",
    ),
    Option(
        "time_zone",
        _SCHEDULED,
        "The time zone of the schedule, and of the day that is `today`.",
        "Europe/Paris",
        schedule.time_zone,
        default=UTC,
        default_shown=f"`{UTC}`",
        scope="run",
    ),
    Option(
        "event",
        _SCHEDULED,
        "The message that asked for this run: `{}`, another day as `today`, or `parameters` over the schedule's. It makes a "
        "run a scheduled one; by hand, it tries one out.",
        '{"today": "2018-04-01"}',
        schedule.event,
        default_shown="none: no scheduled run",
        scope="run",
        in_file=False,
    ),
    Option(
        "event_id",
        _SCHEDULED,
        "The event's id: of all runs with the same one, one runs notebooks, and the others end green as its duplicates.",
        "1234567890",
        schedule.event_id,
        scope="run",
        in_file=False,
    ),
    Option(
        "event_time",
        _SCHEDULED,
        "When the event happened; its day in `NB_TIME_ZONE` is `today`.",
        "2026-07-01T06:00:00Z",
        schedule.event_time,
        default_shown="now",
        scope="run",
        in_file=False,
    ),
    Option(
        "alert_topic",
        _SCHEDULED,
        "A Pub/Sub topic that is told of every scheduled run that ends red.",
        "projects/my-project/topics/red-notebooks",
        values.or_none(schedule.topic),
        scope="run",
    ),
    Option(
        "function",
        _DEPLOY,
        "The Cloud Function's name; schedule and topic are called the same.",
        "demo-notebook",
        names.function,
        scope="run",
        required=True,
    ),
    Option(
        "schedule",
        _DEPLOY,
        "When the notebooks run, as cron writes it, in `NB_TIME_ZONE`; `none` for runs by message alone.",
        "0 6 * * 1",
        values.or_none(schedule.cron),
        scope="run",
    ),
    Option(
        "region",
        _DEPLOY,
        "The region of function, schedule and builds.",
        "europe-west1",
        names.region,
        default_shown=f"the build's region, else `{DEFAULT_REGION}`",
        scope="run",
    ),
    Option(
        "topic",
        _DEPLOY,
        "The Pub/Sub topic, a name in this project.",
        "demo-notebook",
        names.topic,
        default_shown="the function's name",
        scope="run",
    ),
    Option(
        "builder_image",
        _DEPLOY,
        "The image that scheduled builds run; its tag is resolved to a digest.",
        "us-central1-docker.pkg.dev/my-project/notebook-builder/notebook-builder:0.1",
        names.container_image,
        default_shown=f"`REGION-docker.pkg.dev/PROJECT/notebook-builder/notebook-builder:{BUILDER_TAG}`",
        scope="run",
    ),
    _account("function", "the function runs as: it reads what is live and submits builds"),
    _account("function_build", "builds the function"),
    _account("trigger", "delivers the messages to the function"),
    _account("build", "scheduled builds run as", default="builder"),
    Option(
        "builds_per_hour",
        _DEPLOY,
        "How many builds the function submits in an hour at most: whoever may publish to the topic can start VMs. Messages "
        "beyond it wait for their turn, six hours at most.",
        "12",
        values.whole_number(1, 1000, "a count"),
        _number(1, 1000),
        12,
        scope="run",
    ),
)

BY_NAME = {option.name: option for option in OPTIONS}
BY_ENV = {option.env: option for option in OPTIONS}
