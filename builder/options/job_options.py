"""The options that may differ from notebook to notebook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from builder.model import Expectation
from builder.options import google_names, packages, parameters, paths, schedule, secret_names
from builder.options.machine_options import MachineOptions
from builder.options.option import LIMITS, RUNS, SCHEDULED, option
from builder.options.values import boolean, list_of, one_of, or_none, seconds, whole_number

MAX_LIFE_SECONDS = 120 * 24 * 3600  # seconds; the most that Compute Engine's maxRunDuration takes
SILENT = ("bigquery", "shell", "thread", "widget")
UPLOAD_ALLOWANCE = 600  # seconds that a VM gets beyond boot and notebook, to upload the outputs
SERVER_ALLOWANCE = 300  # seconds by which Compute Engine may delete a VM late


@dataclass(frozen=True, kw_only=True)
class JobOptions(MachineOptions):
    """The options of one notebook's jobs. Paths count from the workspace; durations are seconds."""

    parameters: Mapping[str, Any] = option(
        RUNS,
        "Parameters for the notebook, a mapping in JSON or YAML. A name that the notebook does not declare "
        "is a mistake. Lists under `matrix` fan out: one job for each combination of their values.",
        '{"city": "Paris", "matrix": {"days": [7, 30]}}',
        parameters.parameters,
        default={},
    )
    parameters_file: str | None = option(
        RUNS,
        "A JSON or YAML file in the workspace with parameters. Those of `NB_PARAMETERS` replace them, "
        "name by name.",
        "ci/parameters.yaml",
        paths.relative_path,
        default=None,
    )
    allow_secret_parameters: bool = option(
        RUNS,
        "Accepts parameters that look like passwords, tokens or keys. They would be readable in the "
        "bucket, in the executed notebook, its pages and the build's log, so they are mistakes otherwise.",
        "true",
        boolean,
        default=False,
    )
    include: tuple[str, ...] | None = option(
        RUNS,
        "Globs, from the repository's root, of further files that go to the VM. The notebook's folder always goes: the "
        "files that git tracks there, or all of them without `.git`. Files that the globs find need not be tracked. "
        "`outputs/` never goes.",
        "shared/*.py,data/**",
        list_of(paths.relative_path),
        default=None,
    )
    kernel: str | None = option(
        RUNS,
        "The kernel's name. If a Python notebook names no kernel, or one that is not installed, `python3` runs it; "
        "the log says so.",
        "python3",
        google_names.kernel,
        default=None,
        shown="from the notebook",
    )
    expect: tuple[Expectation, ...] = option(
        RUNS,
        "Globs of files that must exist in the job's published folder and not be empty; `glob>=SIZE` sets "
        "a minimum size (B, KB, KiB, MB, MiB, GB, GiB).",
        "outputs/*.csv>=10KB",
        list_of(paths.expectation),
        default=(),
    )
    fail_on: tuple[str, ...] | None = option(
        RUNS,
        "Failures that Jupyter lets pass and that turn the notebook red: `bigquery`, an error of "
        "`%%bigquery`; `shell`, a command of `!`, `%pip` or `%cd` that fails; `thread`, an exception in a "
        "thread, or in a task that nothing awaits; `widget`, an error inside an Output widget; or `none`. Others "
        "are in the log and in `result.json`; see docs/false-greens.md.",
        "bigquery,shell,thread",
        or_none(list_of(one_of(SILENT))),
        default=("bigquery",),
        shown="`bigquery`",
    )
    env: Mapping[str, str] = option(
        RUNS,
        "Plain environment variables for the kernel and the set-up script. Put secrets into `NB_SECRETS`.",
        "STAGE=test,REGION=emea",
        packages.environment,
        default={},
    )
    secrets: Mapping[str, str] = option(
        RUNS,
        "Secrets of Secret Manager, `NAME=projects/PROJECT/secrets/SECRET/versions/VERSION`, the version a "
        "number, an alias or `latest`. The VM's account reads them, into the kernel's environment only; "
        "see docs/secrets.md.",
        "MAPS_KEY=projects/my-project/secrets/maps-key/versions/3",
        secret_names.secrets,
        default={},
    )
    requirements: str | None = option(
        RUNS,
        "A requirements file (pip's format) inside the workspace: packages that the VM installs beside the "
        "image's own, which they never replace.",
        "reports/requirements.txt",
        or_none(paths.workspace_file),
        default=None,
    )
    index_url: str | None = option(
        RUNS,
        "The only package index for `NB_REQUIREMENTS`.",
        "https://packages.example.com/simple",
        or_none(packages.index_url),
        default=None,
        shown="the index that the file names, else PyPI",
    )
    ca_bundle: str | None = option(
        RUNS,
        "Certificates that set-up and requirements trust beside the VM's own, such as those of a proxy "
        "that inspects TLS: a PEM file inside the workspace, or a `gs://` object that the VM's account "
        "reads.",
        "certificates/proxy.pem",
        or_none(packages.ca_bundle),
        default=None,
    )
    setup: str | None = option(
        RUNS,
        "A script inside the workspace that the VM runs first, in the notebook's folder: by its `#!` line, "
        "else by bash.",
        "reports/setup.sh",
        or_none(paths.workspace_file),
        default=None,
    )
    timeout: int = option(
        LIMITS,
        "Seconds that the notebook may run. The build's own `timeout` must exceed what `plan` prints.",
        "3600",
        seconds(1, MAX_LIFE_SECONDS),
        default=2400,
    )
    cell_timeout: int | None = option(
        LIMITS,
        "Seconds that one cell may run; `none` for no limit of its own.",
        "600",
        or_none(seconds(1, MAX_LIFE_SECONDS)),
        default=None,
    )
    boot_timeout: int = option(
        LIMITS,
        "Seconds from the VM's start to its first heartbeat.",
        "900",
        seconds(1, 7200),
        default=600,
    )
    setup_timeout: int = option(
        LIMITS,
        "Seconds that the set-up script may run.",
        "1200",
        seconds(1, MAX_LIFE_SECONDS),
        default=600,
    )
    requirements_timeout: int = option(
        LIMITS,
        "Seconds that resolving and installing the requirements may take.",
        "1200",
        seconds(1, MAX_LIFE_SECONDS),
        default=600,
    )
    max_attempts: int = option(
        LIMITS,
        "The most attempts for a job, including the first. Only faults of the environment are retried, never the "
        "notebook's own failure.",
        "1",
        whole_number(1, 10, "a count"),
        default=3,
    )
    schedule_parameters: Mapping[str, Any] = option(
        SCHEDULED,
        "Parameters of scheduled runs, which replace those of `NB_PARAMETERS`, name by name. Texts can have "
        "dates: `{today}`, `{today-7d}`, `{today-1m:%Y-%m}`; see docs/deploy.md.",
        '{"start_date": "{today-30d}", "end_date": "{today}"}',
        schedule.schedule_parameters,
        default={},
    )
