"""The options of `comment`: which run, which commit, which pull request, and which token."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from builder.errors import Problem
from builder.options.environment import Environment
from builder.options.flags import CommandLine
from builder.options.layers import Rank, Setting, defaults, flag_layer, merge, parse_layer
from builder.options.run_options import Comment
from builder.options.table import BY_ENV, OPTIONS

_READ = tuple(option for option in OPTIONS if "comment" in option.commands)
_COMMIT = r"[0-9a-f]{40}|[0-9a-f]{64}"


def relevant(env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment without the options that `comment` does not read. They can be why the run is red."""
    return {
        name: value for name, value in env.items() if not name.startswith("NB_") or BY_ENV.get(name) in _READ
    }


def read_comment_options(
    line: CommandLine, environment: Environment
) -> tuple[Mapping[str, Any], tuple[Problem, ...]]:
    """Return the values of all options of a run, with a `Comment` as `comment` unless there are problems."""
    build = environment.build
    given = merge(environment.settings, flag_layer(line.given))
    if build.build_id:
        given = merge({"run_id": Setting(build.build_id, "BUILD_ID", Rank.DEFAULT)}, given)
    parsed = parse_layer(given)
    problems = [*parsed.problems]
    if line.whole:
        missing = [
            one for one in _READ if one.required and one.name not in {*parsed.settings, *parsed.failed}
        ]
        problems += [Problem(one.env, "", f"is required, such as {one.example}") for one in missing]
    if not {"run_id"} & (parsed.settings.keys() | parsed.failed):
        problems.append(
            Problem("BUILD_ID", "", "is required, or the run's NB_RUN_ID: they tell which run is meant")
        )
    if build.commit_sha is None or not re.fullmatch(_COMMIT, build.commit_sha):
        expected = "expected the commit that was tested, as 40 or 64 hex digits: it gets the status"
        problems.append(Problem("COMMIT_SHA", build.commit_sha or "", expected))
    values: dict[str, Any] = {
        name: setting.value for name, setting in {**defaults(), **parsed.settings}.items()
    }
    if line.whole and not problems:
        values["comment"] = Comment(
            pull_request=values["pull_request"], comment_token=values["comment_token"]
        )
    return values, tuple(problems)
