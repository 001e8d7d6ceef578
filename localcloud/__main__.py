"""The command line: `python -m localcloud exec|serve|submit|demo`."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sqlite3
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from localcloud import demo
from localcloud.cli import execution, last_clouds, temporary
from localcloud.cli.submit import options as submit_options
from localcloud.cloud import Cloud, shell_exports
from localcloud.core.errors import ApiError
from localcloud.core.state_folder import StateInUse
from localcloud.profile import PROJECTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from localcloud.core.iam import Profile

_USAGE = 2
_UNSANDBOXED = "localcloud is no sandbox: notebooks, build steps and functions run unsandboxed, with your user's rights.\n"


class _Parser(argparse.ArgumentParser):
    """An error is one sentence; argparse alone would print the whole usage first."""

    def error(self, message: str) -> NoReturn:
        self.exit(_USAGE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (2 for bad usage)."""
    own, command = _split(sys.argv[1:] if arguments is None else arguments)
    parser = _parser()
    options = parser.parse_args(own)
    if command is not None and options.verb != "exec":
        parser.error(f"only exec takes a command after --, {options.verb} does not")
    if options.verb == "exec":
        return _exec(options, command, parser)
    if options.verb == "serve":
        return _serve(options, parser)
    if options.verb == "submit":
        return _submit(options, parser)
    return demo.main()


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Split localcloud's arguments from the command at the first `--`; the command is None without a `--`."""
    if "--" not in arguments:
        return list(arguments), None
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


def _parser() -> _Parser:
    parser = _Parser(
        prog="python -m localcloud", description="A local Google Cloud that Google's own clients talk to."
    )
    verbs = parser.add_subparsers(dest="verb", metavar="exec|serve|submit|demo", required=True)
    run = verbs.add_parser(
        "exec",
        usage="%(prog)s [--project empty] [--faults FILE] [--state DIR] [--bucket NAME]... -- CMD...",
        help="run a command on a local cloud that lives as long as the command",
        description="Starts a local cloud, runs CMD in the current folder with the variables that lead there, and exits "
        "with CMD's exit code (128+N for a signal N).",
    )
    run.add_argument(
        "--faults", type=Path, metavar="FILE", help="a JSON list of faults (see localcloud/core/README.md)"
    )
    run.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep the state in this directory (default: a temporary one)",
    )
    run.add_argument(
        "--bucket", action="append", default=[], metavar="NAME", help="make this bucket; may be given again"
    )
    _add_project(run)
    _add_policies(run)
    submit_options.add_prefix(run)
    serve = verbs.add_parser(
        "serve",
        help="run a local cloud until a signal ends it",
        description="Starts a local cloud and prints the variables that lead there, as lines for a shell.",
    )
    serve.add_argument(
        "--port", type=_port, default=0, help="the port to listen on (default: any, then the same again)"
    )
    serve.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep the state in this directory (default: a temporary one)",
    )
    _add_project(serve)
    _add_policies(serve)
    submit_options.add_prefix(serve)
    submit_options.add_runner(serve)
    submit = verbs.add_parser("submit", help="run a folder's cloudbuild.yaml")
    submit_options.add_arguments(submit)
    verbs.add_parser(
        "demo", help="a green commit goes live, a broken one does not, its fix does, and the schedule runs it"
    )
    return parser


def _add_project(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--project",
        choices=sorted(PROJECTS),
        default="default",
        help="start with this project: one that is set up (default), or a new one, whose owner runs the command (empty)",
    )


def _add_policies(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--policy",
        action="append",
        default=[],
        type=_policy,
        metavar="CONSTRAINT[=VALUE,...]",
        help="enforce an organization policy that allows these values (see localcloud/README.md); may be given again, also with more values",
    )


def _policy(text: str) -> tuple[str, tuple[str, ...]]:
    constraint, _, values = text.partition("=")
    return constraint, tuple(filter(None, values.split(",")))


def _project(options: argparse.Namespace) -> Profile:
    policies: dict[str, tuple[str, ...]] = {}
    for constraint, values in options.policy:
        policies[constraint] = (*policies.get(constraint, ()), *values)
    return replace(PROJECTS[options.project], policies=policies)


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:  # noqa: PLR2004  the range of ports
        message = f"{text} is no port from 1 to 65535"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _exec(options: argparse.Namespace, command: list[str] | None, parser: _Parser) -> int:
    if not command:
        parser.error("exec needs a command after --")
    faults = _read_faults(options.faults, parser)
    execution.hold_signals()
    with (
        _state(options.state) as state,
        _started(
            parser,
            state,
            buckets=options.bucket,
            prefixes=options.prefix,
            faults=faults,
            profile=_project(options),
        ) as cloud,
    ):
        code = execution.run(command, cloud.environment())
        (state / "inventory.json").write_text(json.dumps(cloud.inventory(), indent=2) + "\n")
    return code


def _serve(options: argparse.Namespace, parser: _Parser) -> int:
    execution.hold_signals()
    profile = _project(options)
    how = {"port": options.port, "prefixes": options.prefix, **submit_options.runner(options)}
    with _state(options.state) as state, _started(parser, state, profile=profile, **how) as cloud:
        sys.stdout.write(shell_exports(cloud.environment()))
        sys.stdout.flush()
        signal.sigwait(execution.FORWARDED)
    return 0


def _submit(parsed: argparse.Namespace, parser: _Parser) -> int:
    from localcloud.cli.submit import command

    options = submit_options.options(parsed)

    @contextlib.contextmanager
    def own_cloud() -> Iterator[tuple[str, str]]:
        with _kept_state(options.state, parser) as state:
            since = time.time()
            how = submit_options.runner(parsed)
            with _started(parser, state, prefixes=parsed.prefix, **how) as cloud:
                yield cloud.url, cloud.iam.owner_token
            last_clouds.tell(state, since, given=options.state is not None)

    return command.main(options, own_cloud)


@contextlib.contextmanager
def _started(parser: _Parser, state: Path, **how: Any) -> Iterator[Cloud]:
    """Yield a running cloud; print one sentence and exit if it cannot start."""
    try:
        cloud = Cloud(state, **how)
        cloud.start()
    except (OSError, ValueError, StateInUse, sqlite3.Error, ApiError) as error:
        parser.error(f"cannot start: {error}")
    sys.stderr.write(_UNSANDBOXED)
    with contextlib.closing(cloud):
        yield cloud


def _read_faults(file: Path | None, parser: _Parser) -> list[Any]:
    if file is None:
        return []
    try:
        faults = json.loads(file.read_text())
    except OSError as error:
        parser.error(f"the faults file cannot be read: {error}")
    except ValueError as error:
        parser.error(f"the faults file {file} is not JSON: {error}")
    if not isinstance(faults, list):
        parser.error(f"the faults file {file} is not a JSON list")
    return faults


def _state(given: Path | None) -> contextlib.AbstractContextManager[Path]:
    """Yield the state directory: the given one, or a temporary one that is removed afterwards."""
    return temporary.directory() if given is None else contextlib.nullcontext(given)


@contextlib.contextmanager
def _kept_state(given: Path | None, parser: _Parser) -> Iterator[Path]:
    """Yield the state directory: the given one, or a new one that stays until some later builds."""
    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(last_clouds.directory()) if given is None else given
        except OSError as error:
            parser.error(f"cannot start: {error}; give --state DIR")
        yield path


if __name__ == "__main__":
    sys.exit(main())
