"""Loads options from flags, environment and notebooks.yaml, and finds all mistakes in them at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from builder.errors import BadInput, Problem
from builder.model import GcsLocation
from builder.options.checks import check_job, warn_job
from builder.options.command_options import NotebookEntry, Options
from builder.options.commands import COMMANDS, DEPLOY_ACTIONS_READ, PLANNING
from builder.options.comment import read_comment_options, relevant
from builder.options.environment import Environment, read_environment
from builder.options.flags import CommandLine, read_command_line
from builder.options.google_names import REGION
from builder.options.job_options import JobOptions
from builder.options.layers import (
    ConfigFile,
    FileEntry,
    Layer,
    ParsedLayer,
    Rank,
    Setting,
    defaults,
    flag_layer,
    merge,
    parse_layer,
    show,
)
from builder.options.machine_options import DEFAULT_IMAGE_FAMILY, DEFAULT_NETWORK, DEFAULT_REGION
from builder.options.option import Option
from builder.options.parameter_file import ParameterFiles
from builder.options.run_options import Deployment, RunOptions
from builder.options.table import BY_NAME, OPTIONS

DEFAULT_CONFIG = "notebooks.yaml"
OTHER_ENDING = "notebooks.yml"

ReadFile = Callable[[str], str | None]
Values = Mapping[str, Any]


def load_options(
    argv: Sequence[str], env: Mapping[str, str], read_file: ReadFile
) -> tuple[Options, tuple[Problem, ...]]:
    """Return the options with all mistakes in them. Where there are mistakes, the options hold defaults instead.

    `read_file` returns the text of a file in the workspace, or None if there is no such file. Raises BadInput for an
    unknown command. `--help` and `--version` print and raise SystemExit.
    """
    line = read_command_line(argv)
    if line.command not in COMMANDS:
        raise BadInput(line.problems)
    if line.command == "comment":
        return _comment_options(line, env)
    with_options = line.command in PLANNING
    environment = read_environment({} if line.command == "options" else env, with_options=with_options)
    if with_options:
        return _Loading(line, environment, read_file).options()
    values = {name: setting.value for name, setting in defaults().items()}
    problems = line.problems + environment.problems
    return _make_options(line, environment, values, notebooks=(), by_path={}, warnings=()), problems


def _comment_options(line: CommandLine, env: Mapping[str, str]) -> tuple[Options, tuple[Problem, ...]]:
    """Return the options of `comment`. It reads no file: it also reports runs whose files are wrong."""
    environment = read_environment(relevant(env), with_options=True)
    values, problems = read_comment_options(line, environment)
    options = _make_options(line, environment, values, notebooks=(), by_path={}, warnings=())
    return options, (*line.problems, *environment.problems, *problems)


def _make_options(
    line: CommandLine,
    environment: Environment,
    values: Values,
    *,
    notebooks: tuple[NotebookEntry, ...],
    by_path: Mapping[str, JobOptions],
    warnings: tuple[str, ...],
) -> Options:
    return Options(
        **_own(RunOptions, {"gcs_location": GcsLocation("", ""), **values}),
        command=line.command,
        format=line.format,
        action=line.action,
        project=environment.project,
        build=environment.build,
        endpoints=environment.endpoints,
        notebooks=notebooks,
        by_path=by_path,
        config=values.get("config"),
        deployment=_deployment(values) if line.command == "deploy" else None,
        comment=values.get("comment"),
        warnings=environment.warnings + warnings,
    )


def _deployment(values: Values) -> Deployment:
    function = values.get("function", "")
    return Deployment(**_own(Deployment, {"topic": function, **values, "function": function}))


def _own(declaration: type, values: Values) -> dict[str, Any]:
    """Return the values of the options that this dataclass declares."""
    return {field.name: values[field.name] for field in fields(declaration) if field.name in values}


class _Loading:
    """One load: the layers, and the problems in them."""

    def __init__(self, line: CommandLine, environment: Environment, read_file: ReadFile) -> None:
        self._line = line
        # Actions of `deploy` read no settings of notebooks.
        self._administers = line.command == "deploy" and bool(line.action)
        self._environment = environment
        self._problems = [*line.problems, *environment.problems]
        self._warnings: list[str] = []
        self._failed: set[str] = set()
        self._parameter_files = ParameterFiles(read_file, self._problems)
        self._above = merge(self._parse(environment.settings), self._parse(flag_layer(line.given)))
        self._file = self._read_file(read_file)
        if self._administers:
            self._file = replace(self._file, entries=())
        self._base = merge(defaults(), self._computed(), self._parse(self._file.top))
        self._entries = {entry.pattern: self._parse(entry.settings) for entry in self._file.entries}

    def options(self) -> tuple[Options, tuple[Problem, ...]]:
        run = merge(self._base, self._above)
        chosen = tuple(self._chosen())
        jobs = {entry.pattern: self._job(entry.pattern) for entry in (*chosen, *self._file.entries)}
        self._require(run, jobs.values())
        self._warn_of_no_function(run, jobs.values())
        self._refuse_event()
        options = {pattern: _job_options(self._completed(settings)) for pattern, settings in jobs.items()}
        loaded = _make_options(
            self._line,
            self._environment,
            {name: setting.value for name, setting in run.items()},
            notebooks=tuple(
                NotebookEntry(entry.pattern, entry.origin, options[entry.pattern]) for entry in chosen
            ),
            by_path={entry.pattern: options[entry.pattern] for entry in self._file.entries},
            warnings=tuple(dict.fromkeys(self._warnings)),
        )
        return loaded, tuple(dict.fromkeys(self._problems))

    def _completed(self, settings: Layer) -> Layer:
        """Return a job's settings with placeholders for an account that is missing and a kernel that is wrong.

        Only `plan` shows a placeholder; no command runs with one.
        """
        names = ({"vm_service_account"} - settings.keys()) | ({"kernel"} & self._failed)
        placeholders = {
            name: Setting(f"<{BY_NAME[name].env}>", BY_NAME[name].env, Rank.DEFAULT) for name in names
        }
        return {**settings, **placeholders}

    def _parse(self, layer: Layer) -> Layer:
        if self._administers:
            # A rollback must be possible while the settings of the repo's notebooks are broken.
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
        text = other = None
        try:
            text = read_file(name)
            if text is None and setting is None:
                name = OTHER_ENDING
                other = read_file(name)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
            self._problems.append(Problem(name, "", f"cannot be read: {reason}"))
            return nothing
        if text is None:
            if setting:
                expected = "there is no such file in the workspace"
                self._problems.append(Problem(setting.variable, show(name), expected))
            elif other is not None:
                told = f"is not read; rename it to {DEFAULT_CONFIG}, or set NB_CONFIG={OTHER_ENDING}"
                self._problems.append(Problem(OTHER_ENDING, "", told))
            return nothing
        from builder.options.config_file import read_config  # here: PyYAML costs a run without a file 15 ms

        config = read_config(name, text)
        self._problems += config.problems
        return config

    def _computed(self) -> dict[str, Setting]:
        """Return the defaults that the build gives."""
        build = self._environment.build
        in_region = build.location is not None and re.fullmatch(REGION, build.location)  # not "global"
        region = build.location if in_region else DEFAULT_REGION
        computed = {
            "zones": Setting((region,), "LOCATION", Rank.DEFAULT),
            "region": Setting(region, "LOCATION", Rank.DEFAULT),
        }
        if build.build_id:
            computed |= self._parse({"run_id": Setting(build.build_id, "BUILD_ID", Rank.DEFAULT)})
        return computed

    def _chosen(self) -> Iterable[FileEntry]:
        """Return the entries that NB_NOTEBOOKS selects, else every entry of the file."""
        if self._administers or "notebooks" in self._failed:
            return ()
        setting = self._above.get("notebooks")
        if setting is None or not isinstance(setting.value, tuple):
            return self._file.entries
        return [FileEntry(pattern, setting.variable, {}) for pattern in setting.value]

    def _job(self, pattern: str) -> dict[str, Setting]:
        settings = self._parameter_files.applied(
            merge(self._base, self._entries.get(pattern, {}), self._above)
        )
        # The default of an option whose value is wrong is not what was meant.
        meant = {
            name: setting
            for name, setting in settings.items()
            if setting.rank is not Rank.DEFAULT or name not in self._failed
        }
        self._problems += check_job(meant)
        self._warnings += warn_job(meant)
        return settings

    def _refuse_event(self) -> None:
        """Add a problem for an event given to `deploy`, and for an event's id or time without its message."""
        event = self._above.get("event")
        if self._line.command == "deploy" and event is not None:
            expected = "is only for run and plan; deploy takes no event"
            self._problems.append(Problem(event.variable, show(event.value), expected))
        if self._line.command == "run" and event is None and "event" not in self._failed:
            expected = "needs the event's message too: set NB_EVENT"
            given = (self._above.get(name) for name in ("event_id", "event_time"))
            self._problems += [Problem(one.variable, show(one.value), expected) for one in given if one]

    def _warn_of_no_function(self, run: Layer, jobs: Iterable[Layer]) -> None:
        """Warn that `deploy`, which comes after the VMs are paid for, will require a function."""
        if self._line.command not in {"run", "plan"} or "function" in run or run["event"].value is not None:
            return
        scheduled = run["schedule"].value if "schedule" in run else None
        if scheduled or any(job["schedule_parameters"].value for job in jobs if "schedule_parameters" in job):
            self._warnings.append("there is a schedule, but no function: `deploy` will require NB_FUNCTION.")

    def _require(self, run: Layer, jobs: Iterable[Layer]) -> None:
        """Add a problem for each required option that is not given; a wrong one has its problem already."""
        if not self._line.whole:
            return
        every = tuple(jobs)
        for option in OPTIONS:
            if self._needs(option) and option.name not in self._failed:
                places = every if option.scope == "job" and every else (run,)
                if not all(option.name in settings for settings in places):
                    self._problems.append(Problem(option.env, "", _required(option)))
        wrong_source = bool(self._failed & {"notebooks", "config"} or self._file.problems)
        if not every and not self._administers and not wrong_source:
            expected = "is required, such as reports/demo.ipynb, or list them in notebooks.yaml"
            self._problems.append(Problem("NB_NOTEBOOKS", "", expected))

    def _needs(self, option: Option) -> bool:
        """True if the command requires the option; `plan` shows a placeholder for the VM's account."""
        if self._administers:
            return option.name in DEPLOY_ACTIONS_READ
        has_placeholder = option.name == "vm_service_account" and self._line.command == "plan"
        return option.required and self._line.command in option.commands and not has_placeholder


def _required(option: Option) -> str:
    inside = f", or `{option.name}:` in notebooks.yaml" if option.commands == ("deploy",) else ""
    return f"is required, such as {option.example}{inside}"


def _is_read_by_actions(option: Option) -> bool:
    return option.commands == ("deploy",) or option.name in {*DEPLOY_ACTIONS_READ, "config"}


def _job_options(settings: Layer) -> JobOptions:
    """Return one job's options, with one of image and family, and with a network unless the subnetwork gives it."""
    values = {name: setting.value for name, setting in settings.items()}
    image, family = settings["image"], settings["image_family"]
    if image.value is not None and image.rank > family.rank:
        values["image_family"] = None
    elif family.value is not None:
        values["image"] = None
    else:
        values["image_family"] = DEFAULT_IMAGE_FAMILY
    if values["network"] is None and values["subnetwork"] is None:
        values["network"] = DEFAULT_NETWORK
    return JobOptions(**_own(JobOptions, values))
