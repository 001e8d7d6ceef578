"""The command line: `python -m localcloud exec|serve|submit|demo`."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from localcloud import demo, execution, temporary
from localcloud.cloud import Cloud, shell_exports
from localcloud.iam import DEFAULT_ACCOUNT
from localcloud.state_folder import StateInUse
from localcloud.submit import options as submit_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_USAGE = 2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; argparse prints the whole usage first."""

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
    """Part our own arguments from the command, at the first `--`; None when there is no `--`."""
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
        usage="%(prog)s [--faults FILE] [--state DIR] [--bucket NAME]... -- CMD...",
        help="run a command on a local cloud that lives as long as the command",
        description="Starts a local cloud, runs CMD in the current folder with the variables that lead there, and exits "
        "with CMD's exit code (128+N for a signal N).",
    )
    run.add_argument(
        "--faults", type=Path, metavar="FILE", help="a JSON list of faults (see localcloud/README.md)"
    )
    run.add_argument(
        "--state", type=Path, metavar="DIR", help="where its state lives and stays (default: nowhere)"
    )
    run.add_argument(
        "--bucket", action="append", default=[], metavar="NAME", help="make this bucket; may be given again"
    )
    serve = verbs.add_parser(
        "serve",
        help="run a local cloud until a signal ends it",
        description="Starts a local cloud and prints the variables that lead there, as lines for a shell.",
    )
    serve.add_argument(
        "--port", type=_port, default=0, help="the port to listen on (default: any, then the same again)"
    )
    serve.add_argument(
        "--state", type=Path, metavar="DIR", help="where its state lives and stays (default: nowhere)"
    )
    submit_options.add_runner(serve)
    submit_options.add_arguments(verbs.add_parser("submit", help="run a folder's cloudbuild.yaml"))
    verbs.add_parser(
        "demo", help="a green commit goes live, a broken one does not, its fix does, and the schedule runs it"
    )
    return parser


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
        _started(parser, state, buckets=options.bucket, faults=faults) as cloud,
    ):
        code = execution.run(command, cloud.environment(DEFAULT_ACCOUNT))
        (state / "inventory.json").write_text(json.dumps(cloud.inventory(), indent=2) + "\n")
    return code


def _serve(options: argparse.Namespace, parser: _Parser) -> int:
    execution.hold_signals()
    how = {"port": options.port, **submit_options.runner(options)}
    with _state(options.state) as state, _started(parser, state, **how) as cloud:
        sys.stdout.write(shell_exports(cloud.environment(DEFAULT_ACCOUNT)))
        sys.stdout.flush()
        signal.sigwait(execution.FORWARDED)
    return 0


def _submit(parsed: argparse.Namespace, parser: _Parser) -> int:
    from localcloud.submit import command

    options = submit_options.options(parsed)

    @contextlib.contextmanager
    def own_cloud() -> Iterator[str]:
        with (
            _state(options.state) as state,
            _started(parser, state, **submit_options.runner(parsed)) as cloud,
        ):
            yield cloud.url

    return command.main(options, own_cloud)


@contextlib.contextmanager
def _started(parser: _Parser, state: Path, **how: Any) -> Iterator[Cloud]:
    """Yield a running cloud; what keeps it from starting is said in a sentence."""
    try:
        cloud = Cloud(state, **how)
        cloud.start()
    except (OSError, ValueError, StateInUse) as error:
        parser.error(f"cannot start: {error}")
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
    """Give the state directory: the one asked for, or one that is gone afterwards."""
    return temporary.directory() if given is None else contextlib.nullcontext(given)


if __name__ == "__main__":
    sys.exit(main())
