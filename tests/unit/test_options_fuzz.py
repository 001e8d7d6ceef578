"""Any environment, flags and notebooks.yaml give Options or BadInput within a second, in printable words.

More examples than here: `NB_EXAMPLES=10000 make test T=tests/unit/test_options_fuzz.py`. `--hypothesis-seed` repeats
a run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from builder.errors import BadInput
from builder.options import Options
from builder.options.commands import COMMANDS
from builder.options.table import OPTIONS
from tests.fuzzing import FUZZ
from tests.loading import load_options

MINIMAL = {
    "NB_NOTEBOOKS": "a.ipynb",
    "NB_GCS_LOCATION": "gs://nb-test/ci",
    "NB_VM_SERVICE_ACCOUNT": "notebook-vm@local-project.iam.gserviceaccount.com",
    "NB_FUNCTION": "nightly",
    "BUILD_ID": "b1",
    "COMMIT_SHA": "c0ffee00" * 5,
}
ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.text(
    alphabet="ab-_./*[]{}:,=>\n\t\x00\ud800'\"&!?#%@`|<~ 0129", max_size=40
)
SHAPED = st.sampled_from(
    ["gs://a/b", "gs://$X", "us-east1-b", "n1-standard-4", "nvidia-tesla-t4:1", "0", "-1", "9" * 400, "true", "none", "spot", "<run>",
     "../a.ipynb", "a.ipynb", "*.ipynb", "x=y,z", '{"a": 1}', "{a: [1, {b: 2}]}", "{matrix: {a: [1]}}", "!!x", "*x", "1e999", ".nan"]
)  # fmt: skip
VALUES = ANY_TEXT | SHAPED | st.lists(SHAPED, max_size=3).map(",".join)
NAMES = [option.name for option in OPTIONS]
ENV_NAMES = st.sampled_from(
    [option.env for option in OPTIONS]
    + ["PROJECT_ID", "BUILD_ID", "LOCATION", "BRANCH_NAME", "GOOGLE_CLOUD_PROJECT", "NB_UID", "NB_", "NB_TIMEOUTS", "NB_ZZZZZZ"]
    + [f"CLOUDSDK_API_ENDPOINT_OVERRIDES_{name}" for name in ("COMPUTE", "STORAGE", "OTHER")]
)  # fmt: skip
ENVIRONMENTS = st.dictionaries(ENV_NAMES | ANY_TEXT.map(lambda text: "NB_" + text), VALUES, max_size=6)
DATA = st.recursive(
    VALUES | st.none() | st.booleans() | st.integers() | st.floats(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*NAMES, "path", "x"]) | ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
ENTRIES = st.lists(
    VALUES | st.dictionaries(st.sampled_from([*NAMES, "path"]), DATA, max_size=4) | DATA, max_size=3
)
FILE_DATA = st.dictionaries(st.sampled_from(NAMES), DATA, max_size=5).flatmap(
    lambda top: ENTRIES.map(lambda entries: {**top, "notebooks": entries})
)
FILES = (
    FILE_DATA.map(json.dumps)
    | FILE_DATA.map(lambda data: yaml.safe_dump(data, allow_unicode=False))
    | st.lists(st.sampled_from(NAMES) | ANY_TEXT).map(lambda keys: "".join(f"{key}: x\n" for key in keys))
    | ANY_TEXT
)
WORDS = st.sampled_from([*COMMANDS, "--", "-x", "--format", "json", "--timeout=1", "--fail-fast", "--status"])
BARE_FLAGS = st.sampled_from(NAMES).map(lambda name: f"--{name.replace('_', '-')}")
FLAGS = st.sampled_from(NAMES).flatmap(
    lambda name: VALUES.map(lambda value: f"--{name.replace('_', '-')}={value}")
)
OTHER_TEXT = ANY_TEXT.filter(lambda word: not word.startswith(("-h", "--h", "--v")))
COMMAND_LINES = st.builds(
    lambda command, rest: [*command, *rest],
    st.sampled_from([[], *([command] for command in COMMANDS)]),
    st.lists(WORDS | FLAGS | BARE_FLAGS | OTHER_TEXT, max_size=4),
)


def timed(argv: Sequence[str], env: Mapping[str, str], file: str | None) -> tuple[float, Options | BadInput]:
    start = time.process_time()
    try:
        result: Options | BadInput = load_options(
            argv, env, lambda name: file if name == "notebooks.yaml" else None
        )
    except BadInput as bad:
        result = bad
    return time.process_time() - start, result


def outcome(argv: Sequence[str], env: Mapping[str, str], file: str | None) -> Options | BadInput:
    """Load the options and return the outcome. Any other outcome than the two, or a slow one, fails the test."""
    seconds, result = timed(argv, env, file)
    if seconds >= 1:  # once more: the garbage of thousands of examples may have been collected meanwhile
        seconds, result = timed(argv, env, file)
    assert seconds < 1
    if isinstance(result, BadInput):
        assert result.problems
        assert all(problem.variable and problem.expected for problem in result.problems)
        assert max(len(problem.value) for problem in result.problems) <= 80
        lines = str(result).encode().decode().splitlines()  # a lone surrogate would fail on any terminal
        assert len(lines) == len(result.problems)
        assert all(line.isprintable() for line in lines)
    return result


@FUZZ
@given(env=ENVIRONMENTS)
@example(env={"NB_PARAMETERS": "[" * 60_000})
@example(env={"NB_LABELS": "a=" * 60_000})
@example(env={"NB_VM_SERVICE_ACCOUNT": "a-" * 500 + "@" + "a." * 500})
@example(env={"NB_GCS_LOCATION": "gs://" + "a." * 500 + "/" + "a/" * 500})
@example(env={"CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE": "http://" + "a" * 500 + "/" * 500 + "\n"})
def test_any_environment(env: dict[str, str]) -> None:
    outcome([], env, None)
    outcome([], MINIMAL | env, None)


@FUZZ
@given(file=FILES)
@example(file="a: &a [*a]")
@example(file="notebooks: &a\n- path: *a\n")
@example(file="[" * 60_000)
@example(file="? " * 30_000)
@example(file="timeout: 1\n" * 5_900)
def test_any_file(file: str) -> None:
    outcome([], {}, file)
    outcome(["plan"], MINIMAL, file)


@FUZZ
@given(argv=COMMAND_LINES)
@example(argv=["options", "--format=--"])
@example(argv=["--kernel=--", "--fail-fast=--"])
@example(argv=["comment", "--pull-request"])
def test_any_command_line(argv: list[str]) -> None:
    outcome(argv, MINIMAL, None)


@FUZZ
@given(argv=COMMAND_LINES, env=ENVIRONMENTS, file=FILES)
def test_all_together(argv: list[str], env: dict[str, str], file: str) -> None:
    outcome(argv, MINIMAL | env, file)


@FUZZ
@given(path=st.text(alphabet="ab./\\~*[ü\u0308\x00\u202e ", max_size=20))
def test_no_accepted_path_leaves_the_workspace(path: str) -> None:
    result = outcome(
        [], MINIMAL | {"NB_NOTEBOOKS": f"{path}.ipynb", "NB_INCLUDE": path, "NB_EXPECT": path}, None
    )
    if isinstance(result, Options):
        for entry in result.notebooks:
            paths = [
                entry.pattern,
                *(entry.options.include or ()),
                *(item.glob for item in entry.options.expect),
            ]
            assert not any(part in {"", ".", ".."} for given in paths for part in given.split("/"))
