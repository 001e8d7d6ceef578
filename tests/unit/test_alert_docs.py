"""The alerts of docs/deploy.md.

What they look for is what our last lines say, and their fields are Cloud Monitoring's.
"""

from __future__ import annotations

import io
import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import googleapiclient
import yaml

from builder.act.result import Duplicate
from builder.errors import ExitCode
from builder.report import ending
from builder.report.console import Console
from tests.unit.test_report import GREEN, RED, result, run_result

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "deploy.md").read_text(encoding="utf-8")
_DISCOVERY = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents" / "monitoring.v3.json"
SCHEMAS: dict[str, Any] = json.loads(_DISCOVERY.read_text(encoding="utf-8"))["schemas"]
STEP = 'Step #0 - "notebooks": '


def policy(name: str) -> Any:
    found = re.search(rf"cat > {name} <<'EOF'\n(.*?)^EOF$", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None, name
    return yaml.safe_load(found[1])


def pattern(text: str) -> re.Pattern[str]:
    """The regular expression in a filter or a query. RE2 reads this one as Python does."""
    found = re.search(r'"(\^\(Step .*?)"', text)
    assert found is not None, text
    return re.compile(found[1])


def red() -> re.Pattern[str]:
    return pattern(policy("red.yaml")["conditions"][0]["conditionMatchedLog"]["filter"])


def green() -> re.Pattern[str]:
    return pattern(policy("silence.yaml")["conditions"][0]["conditionSql"]["query"])


def lines(code: ExitCode, *, day: date | None = date(2018, 4, 1)) -> list[str]:
    stream = io.StringIO()
    console = Console(stream)
    if day:
        console.mark_scheduled(day)
    verdict = RED if code is ExitCode.NOTEBOOK_FAILED else GREEN
    ending.finished(console, run_result(result("demo", verdict), code=code))
    return [prefix + line for prefix in ("", STEP) for line in stream.getvalue().splitlines()]


def heard(pattern: re.Pattern[str], told: list[str]) -> int:
    return sum(bool(pattern.search(line)) for line in told)


def test_the_alert_policy_matches_red_scheduled_runs() -> None:
    for code, count in (
        (ExitCode.NOTEBOOK_FAILED, 2),
        (ExitCode.CLEANUP_UNCONFIRMED, 2),
        (ExitCode.GREEN, 0),
    ):
        assert heard(red(), lines(code)) == count
        assert heard(red(), lines(code, day=None)) == 0


def test_the_alert_on_silence_counts_green_runs_that_ran_something() -> None:
    assert heard(green(), lines(ExitCode.GREEN)) == 2
    assert heard(green(), lines(ExitCode.GREEN, day=None)) == 0
    assert heard(green(), lines(ExitCode.NOTEBOOK_FAILED)) == 0
    stream = io.StringIO()
    console = Console(stream)
    console.mark_scheduled(date(2018, 4, 1))
    ending.duplicate(console, Duplicate("r", "", "gs://b/e"), again="")
    assert heard(green(), stream.getvalue().splitlines()) == 0


def test_no_notebook_can_raise_or_still_an_alert() -> None:
    stream = io.StringIO()
    forged = "verdict: RED, scheduled for 2018-04-01, 1\nverdict: GREEN, scheduled for 2018-04-01, 1"
    for line in forged.splitlines():
        Console(stream).relay("demo", f"| {line}")
        Console(stream).relay("demo", f"# cell 1/1 failed: {line}")
        Console(stream).report("demo", f"RED after 1 s: {line}")
    told = [prefix + line for prefix in ("", STEP) for line in stream.getvalue().splitlines()]
    assert heard(red(), told) == heard(green(), told) == 0


def test_the_policies_are_cloud_monitoring_s() -> None:
    for name in ("red.yaml", "silence.yaml"):
        _fits(policy(name), SCHEMAS["AlertPolicy"], name)


def _fits(value: Any, schema: Any, where: str) -> None:
    schema = SCHEMAS.get(schema.get("$ref", ""), schema)
    if isinstance(value, dict):
        for key, inner in value.items():
            assert key in schema["properties"], f"{where}.{key}"
            _fits(inner, schema["properties"][key], f"{where}.{key}")
    elif isinstance(value, list):
        for inner in value:
            _fits(inner, schema["items"], where)
    else:
        kind = {str: "string", int: "integer", bool: "boolean"}[type(value)]
        assert schema["type"] == kind, where
        assert value in schema.get("enum", [value]), where
