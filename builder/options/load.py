"""From flags, environment and notebooks.yaml to one frozen `Options`, or to all mistakes at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from builder.errors import BadInput, Problem
from builder.model import UTC, Accelerator, Expectation, GcsLocation
from builder.options.checks import check_job, warn_job
from builder.options.environment import Build, Environment, read_environment
from builder.options.flags import CommandLine, read_command_line
from builder.options.google_names import REGION
from builder.options.layers import (
    ConfigFile,
    FileEntry,
    Layer,
    ParsedLayer,
    Rank,
    Setting,
    defaults,
    merge,
    parse_layer,
    show,
)
from builder.options.parameter_file import ParameterFiles
from builder.options.table import (
    BUILDER_TAG,
    BY_NAME,
    COMMANDS,
    DEFAULT_CONFIG,
    DEFAULT_IMAGE_FAMILY,
    DEFAULT_NETWORK,
    DEFAULT_REGION,
    DEPLOY_ACTIONS_READ,
    OPTIONS,
    Option,
)

__all__ = ["Build", "Deployment", "Event", "JobOptions", "NotebookEntry", "Options", "load_options"]

ReadFile = Callable[[str], str | None]
LookFurther = Callable[["Options"], Sequence[Problem]]


@dataclass(frozen=True)
class JobOptions:
    """What may differ per notebook. Durations are seconds; `zones` holds zone or region names and is never empty."""

    parameters: Mapping[str, Any]  # with those of the file, and `matrix`: see builder.options.parameters
    env: Mapping[str, str]
    requirements: str | None  # as `setup`, a path that counts from the workspace
    index_url: str | None
    setup: str | None
    secrets: Mapping[str, str]  # names in Secret Manager, by variable
    expect: tuple[Expectation, ...]
    include: tuple[str, ...] | None  # None: the notebook's folder, as git tracks it
    kernel: str | None
    zones: tuple[str, ...]
    machine_type: str
    accelerator: Accelerator | None
    image_family: str | None  # exactly one of family and image is set
    image: str | None
    image_project: str
    boot_disk_gb: int
    network: str | None  # None: the subnetwork's own
    subnetwork: str | None
    external_ip: bool
    vm_service_account: str
    labels: Mapping[str, str]
    provisioning: str
    timeout: int
    cell_timeout: int | None
    boot_timeout: int
    setup_timeout: int
    requirements_timeout: int
    max_attempts: int
    boot_disk_type: str | None = None  # None: by machine series
    secure_boot: bool | None = None  # None: as image and GPU allow
    parameters_file: str | None = None
    allow_secret_parameters: bool = False
    schedule_parameters: Mapping[str, Any] = field(default_factory=dict)  # with templates, as given


@dataclass(frozen=True)
class NotebookEntry:
    """A path or glob to run with its options; `origin` says who asked for it."""

    pattern: str
    origin: str
    options: JobOptions


@dataclass(frozen=True)
class Event:
    """The message that asked for a scheduled run, as it came; its id and its time (RFC 3339) where they are known."""

    message: str
    id: str | None
    time: str | None


@dataclass(frozen=True)
class Deployment:
    """Where and how `deploy` puts notebooks live. What is None follows from the project, once that is known."""

    function: str
    topic: str
    region: str
    schedule: str | None  # None: no schedule
    builder_image: str | None
    function_account: str | None
    function_build_account: str | None
    trigger_account: str | None
    build_account: str | None
    builds_per_hour: int

    def image_in(self, project: str) -> str:
        """The builder's image, with its tag or digest."""
        own = f"{self.region}-docker.pkg.dev/{project.replace(':', '/')}/notebook-builder/notebook-builder"
        return self.builder_image or f"{own}:{BUILDER_TAG}"


@dataclass(frozen=True)
class Options:
    """Everything a run was asked for. `reap` and `options` need no bucket and no notebook: theirs are empty.

    `run_id` is NB_RUN_ID or else the build's id; None: choose one. `output` may hold `<run>`. A file that a glob finds and that
    has an entry of its own in notebooks.yaml runs with that entry's options: see `options_for`.
    """

    command: str
    format: str
    project: str | None
    location: GcsLocation
    run_id: str | None
    notebooks: tuple[NotebookEntry, ...]
    concurrency: int
    fail_fast: bool
    output: str
    build: Build
    endpoints: Mapping[str, str]
    warnings: tuple[str, ...]
    by_path: Mapping[str, JobOptions] = field(default_factory=dict)
    config: str | None = (
        None  # the file that was asked for, as a path in the workspace; None: the default one, if there is one
    )
    event: Event | None = None  # None: no scheduled run
    time_zone: str = UTC
    alert_topic: str | None = None
    deployment: Deployment | None = None  # for `deploy` alone
    action: str = ""  # what `deploy` is to do instead of putting something live

    def options_for(self, path: str, entry: NotebookEntry) -> JobOptions:
        """The options of one notebook that the entry's pattern found: its own entry's in the file, else the pattern's."""
        return self.by_path.get(path, entry.options)


def load_options(
    argv: Sequence[str],
    env: Mapping[str, str],
    read_file: ReadFile,
    look_further: LookFurther = lambda _rest: (),
) -> Options:
    """Reads and checks everything before anything is done; raises BadInput with all problems.

    `read_file` gives the text of a file in the workspace, None where there is none. `look_further` is asked once mistakes are known,
    for more of them in what the options name: it gets the options as far as they are right, defaults elsewhere. Only `--help` and
    `--version` print, and raise SystemExit.
    """
    line = read_command_line(argv)
    if line.command not in COMMANDS:
        raise BadInput(line.problems)
    if line.command == "options":
        if line.problems:
            raise BadInput(line.problems)
        return _without_notebooks(line, read_environment({}, with_options=False))
    with_options = line.command != "reap"
    environment = read_environment(env, with_options=with_options)
    if with_options:
        return _Loading(line, environment, read_file).options(look_further)
    problems = line.problems + environment.problems
    if problems:
        raise BadInput(problems)
    return _without_notebooks(line, environment)


def _without_notebooks(line: CommandLine, environment: Environment) -> Options:
    base = {name: setting.value for name, setting in defaults().items()}
    return _make_options(line, environment, base, notebooks=(), by_path={})


def _make_options(
    line: CommandLine,
    environment: Environment,
    values: Mapping[str, Any],
    *,
    notebooks: tuple[NotebookEntry, ...],
    by_path: Mapping[str, JobOptions],
    warnings: tuple[str, ...] = (),
) -> Options:
    return Options(
        command=line.command,
        format=line.format,
        project=environment.project,
        location=values.get("gcs_location", GcsLocation("", "")),
        run_id=values.get("run_id"),
        notebooks=notebooks,
        concurrency=values["concurrency"],
        fail_fast=values["fail_fast"],
        output=values["output"],
        build=environment.build,
        endpoints=environment.endpoints,
        warnings=environment.warnings + warnings,
        by_path=by_path,
        config=values.get("config"),
        event=_event(values),
        time_zone=values["time_zone"],
        alert_topic=values["alert_topic"],
        deployment=_deployment(environment.build, values) if line.command == "deploy" else None,
        action=line.action,
    )


def _event(values: Mapping[str, Any]) -> Event | None:
    """An event is one by its message; an id or a time alone says nothing of what is asked for."""
    message = values.get("event")
    return None if message is None else Event(message, values.get("event_id"), values.get("event_time"))


def _deployment(build: Build, values: Mapping[str, Any]) -> Deployment:
    function = values.get("function", "")
    return Deployment(
        function=function,
        topic=values.get("topic") or function,
        region=values.get("region") or _region_of(build),
        schedule=values.get("schedule"),
        builder_image=values.get("builder_image"),
        function_account=values.get("function_service_account"),
        function_build_account=values.get("function_build_service_account"),
        trigger_account=values.get("trigger_service_account"),
        build_account=values.get("build_service_account"),
        builds_per_hour=values["builds_per_hour"],
    )


def _region_of(build: Build) -> str:
    """The region that the build runs in; a global build is in none."""
    return build.location if build.location and _is_region(build.location) else DEFAULT_REGION


class _Loading:
    """One load: the layers, and the problems found on the way."""

    def __init__(self, line: CommandLine, environment: Environment, read_file: ReadFile) -> None:
        self._line = line
        self._environment = environment
        self._problems = [*line.problems, *environment.problems]
        self._warnings: list[str] = []
        self._failed: set[str] = set()
        self._parameter_files = ParameterFiles(read_file, self._problems)
        flags = {
            name: Setting(text.strip(), BY_NAME[name].flag, Rank.FLAG)
            for name, text in line.given.items()
            if text.strip()
        }
        self._above = merge(self._parse(environment.settings), self._parse(flags))
        self._file = self._read_file(read_file)
        if line.action:
            self._file = replace(self._file, entries=())
        self._base = merge(defaults(), self._computed(), self._parse(self._file.top))
        self._entries = {entry.pattern: self._parse(entry.settings) for entry in self._file.entries}

    def options(self, look_further: LookFurther) -> Options:
        """The options, or BadInput."""
        run = merge(self._base, self._above)
        chosen = tuple(self._chosen())
        jobs = {entry.pattern: self._job(entry.pattern) for entry in (*chosen, *self._file.entries)}
        self._require(run, jobs.values())
        self._warn_of_no_function(run, jobs.values())
        self._refuse_event()
        if self._problems:
            further = () if "notebooks" in self._failed else look_further(self._made(run, chosen, jobs))
            raise BadInput(tuple(dict.fromkeys([*self._problems, *further])))
        return self._made(run, chosen, jobs)

    def _made(
        self,
        run: Mapping[str, Setting],
        chosen: Sequence[FileEntry],
        jobs: Mapping[str, Mapping[str, Setting]],
    ) -> Options:
        options = {
            pattern: _job_options({**settings, **self._stand_ins(settings)})
            for pattern, settings in jobs.items()
        }
        return _make_options(
            self._line,
            self._environment,
            {name: setting.value for name, setting in run.items()},
            notebooks=tuple(
                NotebookEntry(entry.pattern, entry.origin, options[entry.pattern]) for entry in chosen
            ),
            by_path={entry.pattern: options[entry.pattern] for entry in self._file.entries},
            warnings=tuple(dict.fromkeys(self._warnings)),
        )

    def _needs(self, option: Option) -> bool:
        """What is required of this command; `plan` can show the VM's account as a blank."""
        if self._line.action:
            return option.name in DEPLOY_ACTIONS_READ
        shown_blank = option.name == "vm_service_account" and self._line.command == "plan"
        return option.required and self._line.command in option.commands and not shown_blank

    def _stand_ins(self, settings: Mapping[str, Setting]) -> dict[str, Setting]:
        """Values for what was not given, or not rightly; options that hold one are looked into or printed, but never run."""
        names = ({"vm_service_account"} - settings.keys()) | ({"kernel"} & self._failed)
        return {name: Setting(f"<{BY_NAME[name].env}>", BY_NAME[name].env, Rank.DEFAULT) for name in names}

    def _parse(self, layer: Layer) -> Layer:
        if self._line.action:
            # A repo whose notebooks' settings are broken is just what one wants to roll back.
            layer = {name: setting for name, setting in layer.items() if _is_read_by_actions(BY_NAME[name])}
        parsed: ParsedLayer = parse_layer(layer)
        self._problems += parsed.problems
        self._failed |= parsed.failed
        return parsed.settings

    def _read_file(self, read_file: ReadFile) -> ConfigFile:
        nothing = ConfigFile({}, (), ())
        setting = self._above.get("config")
        if setting is None and "config" in self._failed:
            return nothing
        name = str(setting.value) if setting else DEFAULT_CONFIG
        try:
            text = read_file(name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            self._problems.append(Problem(name, "", f"cannot be read: {reason}"))
            return nothing
        if text is None:
            if setting:
                self._problems.append(
                    Problem(setting.variable, show(name), "there is no such file in the workspace")
                )
            return nothing
        from builder.options.config_file import read_config  # here: PyYAML costs a run without a file 15 ms

        config = read_config(name, text)
        self._problems += config.problems
        return config

    def _computed(self) -> dict[str, Setting]:
        """Defaults that the build gives."""
        build = self._environment.build
        computed = {"zones": Setting((_region_of(build),), "LOCATION", Rank.DEFAULT)}
        if build.build_id:
            setting = Setting(build.build_id, "BUILD_ID", Rank.DEFAULT)
            computed |= self._parse({"run_id": setting})
        return computed

    def _chosen(self) -> Iterable[FileEntry]:
        """What NB_NOTEBOOKS selects, with the file's settings for an equal path; else every entry of the file."""
        setting = self._above.get("notebooks")
        if self._line.action:
            return ()
        if setting is None or not isinstance(setting.value, tuple):
            return self._file.entries
        return [FileEntry(pattern, setting.variable, {}) for pattern in setting.value]

    def _job(self, pattern: str) -> dict[str, Setting]:
        settings = self._parameter_files.applied(
            merge(self._base, self._entries.get(pattern, {}), self._above)
        )
        self._problems += check_job(settings)
        self._warnings += warn_job(settings)
        return settings

    def _refuse_event(self) -> None:
        """One event's message is nothing to deploy: what is live is for every event. And half an event is none to run by."""
        event = self._above.get("event")
        if self._line.command == "deploy" and event is not None:
            self._problems.append(
                Problem(event.variable, show(event.value), "belongs to run and plan; deploy takes no event")
            )
        if self._line.command == "run" and event is None and "event" not in self._failed:
            given = (self._above.get(name) for name in ("event_id", "event_time"))
            self._problems += [
                Problem(
                    half.variable, show(half.value), "belongs to an event: give its message, too, as NB_EVENT"
                )
                for half in given
                if half is not None
            ]

    def _warn_of_no_function(self, run: Mapping[str, Setting], jobs: Iterable[Mapping[str, Setting]]) -> None:
        """`deploy` comes after the VM was paid for; that it will ask for a name can be said before."""
        scheduled = ("schedule" in run and run["schedule"].value) or any(
            job["schedule_parameters"].value for job in jobs if "schedule_parameters" in job
        )
        if (
            scheduled
            and "function" not in run
            and self._line.command in {"run", "plan"}
            and run["event"].value is None
        ):
            self._warnings.append("there is a schedule, but no function: `deploy` will require NB_FUNCTION.")

    def _require(self, run: Mapping[str, Setting], jobs: Iterable[Mapping[str, Setting]]) -> None:
        """Adds a problem for what must be given and is not; says nothing about what was given and is wrong."""
        if not self._line.whole:
            return
        every = tuple(jobs)
        for option in OPTIONS:
            if self._needs(option) and option.name not in self._failed:
                places = every if option.scope == "job" and every else (run,)
                if not all(option.name in settings for settings in places):
                    self._problems.append(Problem(option.env, "", _required(option)))
        file_is_wrong = bool(self._file.problems)
        if (
            not every
            and not self._line.action
            and "notebooks" not in self._failed
            and "config" not in self._failed
            and not file_is_wrong
        ):
            self._problems.append(
                Problem(
                    "NB_NOTEBOOKS",
                    "",
                    "is required, such as reports/demo.ipynb, or list them in notebooks.yaml",
                )
            )


def _required(option: Option) -> str:
    inside = f", or `{option.name}:` in notebooks.yaml" if option.commands == ("deploy",) else ""
    return f"is required, such as {option.example}{inside}"


def _is_read_by_actions(option: Option) -> bool:
    return option.commands == ("deploy",) or option.name in {*DEPLOY_ACTIONS_READ, "config"}


def _is_region(name: object) -> bool:
    return re.fullmatch(REGION, str(name)) is not None


def _job_options(settings: Mapping[str, Setting]) -> JobOptions:
    """The options of one job whose settings were found right."""
    values: dict[str, Any] = {name: settings[name].value for name in _JOB_NAMES if name in settings}
    image, family = settings["image"], settings["image_family"]
    if image.value is not None and image.rank > family.rank:
        values["image_family"] = None
    elif family.value is not None:
        values["image"] = None
    else:
        values["image_family"] = DEFAULT_IMAGE_FAMILY
    if values["network"] is None and values["subnetwork"] is None:
        values["network"] = DEFAULT_NETWORK
    return JobOptions(**values)


_JOB_NAMES = tuple(job_field.name for job_field in fields(JobOptions))
