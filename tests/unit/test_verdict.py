"""The catalogue of false greens: one good attempt, spoilt in exactly one way, is red for the right reason."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from builder.errors import ExitCode
from builder.judge.executed_notebook import MAX_EXECUTED_BYTES
from builder.judge.expected import Expected
from builder.model import Expectation, Listed
from tests.unit.good_attempt import (
    Attempt,
    Json,
    altered,
    code,
    error_output,
    executed_json,
    expected_of,
    input_json,
    markdown,
    notebook_json,
    read,
    run_cell,
)

ENVIRONMENT = ExitCode.ENVIRONMENT_FAILED
NOTEBOOK = ExitCode.NOTEBOOK_FAILED
LIMIT = ExitCode.TIME_LIMIT


def evidence(change: Callable[[Json], Any]) -> Attempt:
    return Attempt(on_evidence=[change])


def listing(change: Callable[[dict[str, Listed]], Any]) -> Attempt:
    return Attempt(on_listing=[change])


def executed(change: Callable[[list[Json]], Any]) -> Attempt:
    data = executed_json()
    change(data["cells"])
    return Attempt(executed=data)


def put(*keys: str | int, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return change


def drop(*keys: str | int) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return change


def fault(reason: str, **more: Any) -> Attempt:
    return evidence(put("fault", value={"reason": reason, "message": "", "cell": None} | more))


def expecting(*wanted: Expectation) -> Attempt:
    return Attempt(options={"expect": wanted})


def early_exit(cells: list[Json]) -> None:
    """papermill's view of sys.exit(0) in the second of the cells: exit code 0, the rest pending."""
    cells[3]["outputs"] = [error_output("SystemExit", "0")]
    cells[3]["metadata"]["papermill"] = {"exception": True, "status": "failed"}
    for cell in cells[4:]:
        cell["execution_count"], cell["outputs"] = None, []
        cell["metadata"]["papermill"] = {"exception": None, "status": "pending"}


def swap(cells: list[Json]) -> None:
    cells[3]["source"], cells[7]["source"] = cells[7]["source"], cells[3]["source"]


TRAPS: dict[str, tuple[Attempt, ExitCode, str]] = {
    # not this attempt's result
    "of another run": (evidence(put("run", value="run-0")), ENVIRONMENT, "foreign_evidence"),
    "of another job": (evidence(put("job", value="other")), ENVIRONMENT, "foreign_evidence"),
    "of an earlier attempt": (evidence(put("attempt", value=2)), ENVIRONMENT, "foreign_evidence"),
    "of a namesake run": (evidence(put("nonce", value="other")), ENVIRONMENT, "foreign_evidence"),
    # not this input
    "other job": (evidence(put("inputs", "job", "sha256", value="0" * 64)), ENVIRONMENT, "input_mismatch"),
    "older workspace": (
        evidence(put("inputs", "workspace", "generation", value="1")),
        ENVIRONMENT,
        "input_mismatch",
    ),
    "other parameters": (
        evidence(put("inputs", "parameters", "sha256", value="0" * 64)),
        ENVIRONMENT,
        "input_mismatch",
    ),
    "other notebook": (
        evidence(put("inputs", "notebook", "sha256", value="0" * 64)),
        ENVIRONMENT,
        "input_mismatch",
    ),
    "workspace never read": (evidence(put("inputs", "workspace", value=None)), ENVIRONMENT, "input_mismatch"),
    "notebook never read": (evidence(put("inputs", "notebook", value=None)), ENVIRONMENT, "input_mismatch"),
    # the runner says so
    "cell limit": (fault("cell_timeout", cell=3), LIMIT, "cell_timeout"),
    "notebook limit": (fault("notebook_timeout"), LIMIT, "notebook_timeout"),
    "the VM's limit": (fault("run_timeout"), LIMIT, "run_timeout"),
    "outputs that no list holds": (fault("too_many_outputs"), NOTEBOOK, "too_many_outputs"),
    "dead kernel": (fault("kernel_died", cell=2), NOTEBOOK, "kernel_died"),
    "unknown kernel": (fault("kernel_not_found"), NOTEBOOK, "kernel_not_found"),
    "full disk": (fault("disk_full"), NOTEBOOK, "disk_full"),
    "set-up script": (fault("setup_failed"), NOTEBOOK, "setup_failed"),
    "set-up limit": (fault("setup_timeout"), LIMIT, "setup_timeout"),
    "requirements": (fault("requirements_unresolvable"), NOTEBOOK, "requirements_unresolvable"),
    "requirements limit": (fault("requirements_timeout"), LIMIT, "requirements_timeout"),
    "no index": (fault("index_unreachable"), ENVIRONMENT, "index_unreachable"),
    "closed index": (fault("index_refused"), ExitCode.PROJECT_SETUP, "index_refused"),
    "unknown certificate": (fault("index_untrusted"), ExitCode.PROJECT_SETUP, "index_untrusted"),
    "no certificates": (fault("ca_bundle_unusable"), ExitCode.PROJECT_SETUP, "ca_bundle_unusable"),
    "papermill cannot read it": (fault("notebook_unreadable"), NOTEBOOK, "notebook_unreadable"),
    "no GPU": (fault("gpu_not_visible"), ENVIRONMENT, "gpu_not_visible"),
    "runner broke": (fault("runner"), ENVIRONMENT, "runner"),
    "unheard-of fault": (fault("meteor \x1b[31mgreen"), ENVIRONMENT, "runner"),
    # papermill's exit
    "never started": (evidence(put("papermill", value=None)), ENVIRONMENT, "not_started"),
    "kernel killed, saved as completed": (
        evidence(put("papermill", "exit_code", value=138)),
        NOTEBOOK,
        "kernel_died",
    ),
    "papermill killed": (evidence(put("papermill", "exit_code", value=-9)), NOTEBOOK, "notebook_failed"),
    "timed out in the last cell, saved as completed": (
        evidence(put("papermill", value={"exit_code": 1, "seconds": 3.2})),
        NOTEBOOK,
        "notebook_failed",
    ),
    # the executed notebook
    "no executed notebook": (Attempt(executed=None), ENVIRONMENT, "executed_notebook_missing"),
    "not named in the evidence": (
        evidence(put("executed_notebook", value=None)),
        ENVIRONMENT,
        "executed_notebook_missing",
    ),
    "another notebook named": (
        evidence(put("executed_notebook", value="demo.html")),
        ENVIRONMENT,
        "executed_notebook_missing",
    ),
    "not among the objects": (evidence(drop("objects", 0)), ENVIRONMENT, "executed_notebook_missing"),
    "truncated on the way": (
        evidence(put("objects", 0, "size", value=10**6)),
        ENVIRONMENT,
        "executed_notebook_differs",
    ),
    "too large to be read": (
        evidence(put("objects", 0, "size", value=MAX_EXECUTED_BYTES + 1)),
        NOTEBOOK,
        "executed_notebook_invalid",
    ),
    "truncated on a full disk": (
        Attempt(executed=json.dumps(executed_json()).encode()[:-40]),
        NOTEBOOK,
        "executed_notebook_invalid",
    ),
    "no JSON": (Attempt(executed=b"green"), NOTEBOOK, "executed_notebook_invalid"),
    "NaN": (Attempt(executed=b'{"nbformat": NaN}'), NOTEBOOK, "executed_notebook_invalid"),
    "nested without end": (Attempt(executed=b"[" * 10**6), NOTEBOOK, "executed_notebook_invalid"),
    "endless number": (Attempt(executed=b"1" * 10**4), NOTEBOOK, "executed_notebook_invalid"),
    "a list": (Attempt(executed=b"[]"), NOTEBOOK, "executed_notebook_invalid"),
    "no metadata": (executed(drop(3, "metadata")), NOTEBOOK, "executed_notebook_invalid"),
    "odd outputs": (
        executed(put(7, "outputs", value=[{"output_type": "error"}])),
        NOTEBOOK,
        "executed_notebook_invalid",
    ),
    # its cells
    "cell missing": (executed(lambda cells: cells.pop(7)), NOTEBOOK, "cells_differ"),
    "cell twice": (executed(lambda cells: cells.append(code(10, "1"))), NOTEBOOK, "cells_differ"),
    "cell edited": (executed(put(7, "source", value="pass")), NOTEBOOK, "cells_differ"),
    "cell made markdown": (executed(put(7, value=markdown(6, "print(days)"))), NOTEBOOK, "cells_differ"),
    "cells in another order": (executed(swap), NOTEBOOK, "cells_differ"),
    "parameters not injected": (executed(lambda cells: cells.pop(2)), NOTEBOOK, "cells_differ"),
    "injected cell untagged": (executed(put(2, "metadata", "tags", value=[])), NOTEBOOK, "cells_differ"),
    "injected before the defaults": (
        executed(lambda cells: cells.insert(1, cells.pop(2))),
        NOTEBOOK,
        "cells_differ",
    ),
    "injected without parameters given": (
        Attempt(parameters={}),
        NOTEBOOK,
        "cells_differ",
    ),
    "cell never executed": (executed(put(7, "execution_count", value=None)), NOTEBOOK, "stopped_early"),
    "sys.exit(0) in the middle": (executed(early_exit), NOTEBOOK, "stopped_early"),
    "cell still running": (
        executed(put(7, "metadata", "papermill", value={"exception": False, "status": "running"})),
        NOTEBOOK,
        "stopped_early",
    ),
    "swallowed by an exception hook": (
        executed(put(7, "metadata", "papermill", value={"exception": True, "status": "completed"})),
        NOTEBOOK,
        "stopped_early",
    ),
    "error output, exit 0": (executed(put(7, "outputs", value=[error_output()])), NOTEBOOK, "cell_failed"),
    "error in the injected cell": (
        executed(put(2, "outputs", value=[error_output()])),
        NOTEBOOK,
        "cell_failed",
    ),
    "tagged only afterwards": (
        executed(
            lambda cells: cells[7].update(
                outputs=[error_output()], metadata={"tags": ["raises-exception", "skip-execution"]}
            )
        ),
        NOTEBOOK,
        "cell_failed",
    ),
    "stale counts": (executed(put(7, "execution_count", value=3)), NOTEBOOK, "execution_order"),
    "counts from zero": (executed(put(1, "execution_count", value=0)), NOTEBOOK, "execution_order"),
    "skipped cell executed": (executed(put(6, "execution_count", value=9)), NOTEBOOK, "cells_differ"),
    "skipped cell with stale outputs": (
        executed(put(6, "outputs", value=[error_output()])),
        NOTEBOOK,
        "cells_differ",
    ),
    # the objects
    "output lost": (listing(drop("outputs/rides.csv")), ENVIRONMENT, "object_missing"),
    "output truncated": (
        listing(lambda found: altered(found, "outputs/rides.csv", size=119)),
        ENVIRONMENT,
        "object_differs",
    ),
    "output corrupt": (
        listing(lambda found: altered(found, "demo.html", crc32c="AAAAAQ==")),
        ENVIRONMENT,
        "object_differs",
    ),
    "output overwritten since": (
        listing(lambda found: altered(found, "demo.html", generation=9)),
        ENVIRONMENT,
        "object_differs",
    ),
    "executed notebook lost": (listing(drop("demo.ipynb")), ENVIRONMENT, "object_missing"),
    "output that could not be uploaded": (
        evidence(put("skipped", value=[{"path": "outputs/pipe", "why": "not a regular \x1b[31mfile"}])),
        NOTEBOOK,
        "output_not_uploaded",
    ),
    # NB_EXPECT
    "output forgotten": (expecting(Expectation("outputs/*.parquet")), NOTEBOOK, "output_missing"),
    "output in another folder": (expecting(Expectation("outputs/*.png")), NOTEBOOK, "output_missing"),
    "an output that the VM knows nothing of": (
        listing(put("outputs/old.txt", value=Listed("outputs/old.txt", 10, "AAAAAA==", 1))),
        ENVIRONMENT,
        "object_unlisted",
    ),
    "output too small": (expecting(Expectation("outputs/rides.csv", 121)), NOTEBOOK, "output_too_small"),
    "one empty of several": (
        Attempt(
            on_evidence=[put("objects", 4, "size", value=0)],
            on_listing=[lambda found: altered(found, "outputs/plots/days.png", size=0)],
        ),
        NOTEBOOK,
        "output_too_small",
    ),
}


def test_the_good_attempt_is_green() -> None:
    verdict = Attempt().judge()
    assert verdict.green, verdict
    assert verdict.reason == "green"
    assert verdict.message == "all 4 code cells ran, and 5 objects are in Cloud Storage"


@pytest.mark.parametrize("name", TRAPS, ids=list(TRAPS))
def test_spoilt_in_one_way_it_is_red(name: str) -> None:
    attempt, exit_code, reason = TRAPS[name]
    verdict = attempt.judge()
    assert (verdict.exit_code, verdict.reason) == (exit_code, reason), verdict
    assert verdict.message
    assert verdict.advice
    assert "\n" not in verdict.message
    assert "\x1b" not in verdict.message


@pytest.mark.parametrize(
    ("given", "arrived"),
    [(7, "7"), (7, 7.0), (1, True), (0, False), (1.0, 1), ([{"a": 1}], [{"a": True}])],
    ids=[
        "integer as text",
        "integer as a float",
        "integer as true",
        "integer as false",
        "float as an integer",
        "integer as true, deep",
    ],
)
def test_a_parameter_that_arrived_as_another_type_is_red(given: Any, arrived: Any) -> None:
    data = executed_json()
    data["metadata"]["papermill"]["parameters"] = {"days": arrived}
    assert Attempt(executed=data, parameters={"days": given}).judge().reason == "parameters_differ"
    assert Attempt(executed=data, parameters={"days": arrived}).judge().green


def test_the_order_of_parameters_does_not_matter() -> None:
    data = executed_json()
    data["metadata"]["papermill"]["parameters"] = {"b": {"y": 1, "x": 2}, "a": 1e22}
    assert Attempt(executed=data, parameters={"a": 1e22, "b": {"x": 2, "y": 1}}).judge().green


def test_parameters_of_the_run_before_the_commit_prove_nothing() -> None:
    cells = (code(1, "days = 1", "parameters"), code(2, "days = 2", "injected-parameters"), code(3, "days"))
    source = notebook_json(*cells)
    source["metadata"]["papermill"] = {"exception": None, "parameters": {"days": 2}}
    after = copy.deepcopy(source)
    for number, cell in enumerate(after["cells"], start=1):
        run_cell(cell, number)
    assert Attempt(source=source, executed=after, parameters={}).judge().green
    assert Attempt(source=source, executed=after).judge().reason == "parameters_differ"


def test_a_notebook_that_papermill_marked_as_failed_is_red() -> None:
    data = executed_json()
    data["metadata"]["papermill"]["exception"] = True
    assert Attempt(executed=data).judge().reason == "notebook_failed"


def test_nesting_that_parses_but_cannot_be_compared_does_not_raise() -> None:
    data = executed_json()
    data["metadata"]["papermill"]["parameters"] = {"days": "DEEP"}
    text = json.dumps(data)
    for depth in range(200, 1000, 50):
        # Written as text: Python's own encoder gives up at a depth that depends on who calls it.
        deep = text.replace('"DEEP"', "[" * depth + "7" + "]" * depth).encode()
        assert Attempt(executed=deep).judge().reason in {"parameters_differ", "executed_notebook_invalid"}


def test_a_failed_cell_is_told_with_number_and_error() -> None:
    data = executed_json()
    data["cells"][3]["outputs"] = [error_output()]
    data["cells"][3]["metadata"]["papermill"] = {"exception": True, "status": "failed"}
    verdict = Attempt(
        executed=data, on_evidence=[put("papermill", value={"exit_code": 1, "seconds": 3.2})]
    ).judge()
    assert (verdict.exit_code, verdict.reason) == (NOTEBOOK, "cell_failed")
    assert verdict.message == "cell 2 of 6 (In [3]) failed: ValueError: no rides"
    assert verdict.failure is not None
    assert verdict.failure.source.startswith("import csv")


def test_an_early_exit_is_told_with_its_cell() -> None:
    verdict = executed(early_exit).judge()
    assert verdict.message == "stopped at cell 2 of 6 (In [3]): SystemExit: 0"
    assert verdict.failure is not None


def test_a_fault_keeps_the_cell_and_the_runners_words() -> None:
    verdict = fault("kernel_died", cell=2, message="killed by signal 9\nverdict: green").judge()
    assert verdict.message == "killed by signal 9"
    assert "NB_MACHINE_TYPE" not in verdict.advice
    assert "NB_MACHINE_TYPE is e2-standard-4" in fault("out_of_memory", cell=2).judge().advice
    assert verdict.failure is not None
    assert (verdict.failure.cell, verdict.failure.error) == (2, "killed by signal 9")


def test_a_fault_without_words_gets_ours() -> None:
    verdict = fault("kernel_died", cell=2).judge()
    assert verdict.message == "the kernel died in cell 2 of 6, after 3.0 GiB of memory in use"
    assert verdict.failure is not None
    assert verdict.failure.error == "kernel_died"


@pytest.mark.parametrize(
    ("free", "words"),
    [(2**20, "1.0 MiB"), (2**30 - 1, "1024.0 MiB"), (2**30, "1.0 GiB"), (3 * 2**30, "3.0 GiB")],
)
def test_a_full_disk_is_told_with_what_is_left(free: int, words: str) -> None:
    attempt = fault("disk_full")
    attempt.on_evidence += [put("disk_free_bytes", value=free)]
    assert attempt.judge().message == f"the VM's disk is full; {words} were free at the end of the run"


def test_a_fault_told_of_another_notebook_is_not_believed() -> None:
    attempt = fault("kernel_died")
    attempt.on_evidence += [put("inputs", "notebook", "sha256", value="0" * 64)]
    assert attempt.judge().reason == "input_mismatch"


def test_an_output_of_exactly_the_least_size_will_do() -> None:
    assert expecting(Expectation("outputs/rides.csv", 120)).judge().green


def test_a_limit_keeps_the_line_that_was_interrupted() -> None:
    data = executed_json()
    interrupted = {"traceback": ["Cell In[3], line 2\n----> 2 rows = ..."]}
    data["cells"][3]["outputs"] = [error_output("KeyboardInterrupt", "") | interrupted]
    stopped = {"reason": "cell_timeout", "message": "", "cell": None}
    verdict = Attempt(executed=data, on_evidence=[put("fault", value=stopped)]).judge()
    assert verdict.message == "a cell ran longer than its limit of 60 s in cell 2 of 6"
    assert verdict.failure is not None
    assert verdict.failure.line == 2


def test_a_fault_comes_before_inputs_never_read() -> None:
    attempt = fault("workspace")
    attempt.on_evidence += [
        put("inputs", value=dict.fromkeys(("job", "workspace", "parameters", "notebook")))
    ]
    attempt.on_evidence += [put("peak_memory_bytes", value=None), put("disk_free_bytes", value=None)]
    assert attempt.judge().reason == "workspace"
    attempt.on_evidence += [put("fault", "reason", value="disk_full")]
    assert attempt.judge().message == "the VM's disk is full"
    attempt.on_evidence += [put("fault", "reason", value="kernel_died")]
    assert attempt.judge().message == "the kernel died"


def test_an_output_that_was_not_uploaded_is_told_before_one_that_is_missing() -> None:
    attempt = expecting(Expectation("outputs/link"))
    skipped = [{"path": "outputs/link", "why": "symbolic link out of outputs/"}]
    attempt.on_evidence += [put("skipped", value=skipped)]
    said = "outputs/link was not uploaded: symbolic link out of outputs/"
    assert attempt.judge().message == said
    skipped.append({"path": "outputs/x", "why": "socket"})
    assert attempt.judge().message == f"{said} (and 1 more)"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        pytest.param(0, "the notebook wrote nothing below outputs/", id="none"),
        pytest.param(10, f"the notebook wrote {', '.join(f'outputs/{n}' for n in range(10))}", id="ten"),
        pytest.param(
            11, f"the notebook wrote outputs/0, outputs/1, {', '.join(f'outputs/{n}' for n in (10, *range(2, 9)))}"
            " and 1 more", id="eleven",
        ),
    ],
)  # fmt: skip
def test_a_missing_output_is_told_with_those_that_were_written(count: int, words: str) -> None:
    attempt = expecting(Expectation("outputs/*.png"))
    names = [*(f"outputs/{number}" for number in range(count)), "demo.html"]

    def write(evidence: Json) -> None:
        del evidence["objects"][1:]
        for name in names:
            evidence["objects"].append({"name": name, "size": 1, "crc32c": "AAAAAA==", "generation": "9"})

    def appear(found: dict[str, Listed]) -> None:
        for name in [name for name in found if name.startswith("outputs/")] + ["demo-clean.html"]:
            del found[name]
        found.update({name: Listed(name, 1, "AAAAAA==", 9) for name in names})

    attempt.on_evidence += [write]
    attempt.on_listing += [appear]
    assert attempt.judge().message == f"no output matches NB_EXPECT's 'outputs/*.png'; {words}"


def test_papermills_exit_counts_even_where_every_cell_looks_well() -> None:
    """papermill itself fails for an error in a tagged cell; it is the runner that forgives those."""
    verdict = evidence(put("papermill", value={"exit_code": 1, "seconds": 3.2})).judge()
    assert (verdict.exit_code, verdict.reason) == (NOTEBOOK, "notebook_failed")


@pytest.mark.parametrize(
    "content",
    [pytest.param(None, id="missing"), pytest.param(b"{", id="cut off"), pytest.param(b"", id="empty")],
)
def test_papermills_exit_without_a_readable_notebook_is_red(content: bytes | None) -> None:
    attempt = evidence(put("papermill", "exit_code", value=1))
    attempt.executed = content
    verdict = attempt.judge()
    assert (verdict.exit_code, verdict.reason) == (NOTEBOOK, "notebook_failed")
    assert verdict.message == "papermill ended with exit code 1, and no cell shows an error"
    assert verdict.failure is None


@pytest.mark.parametrize("turned", [False, True])
def test_parameters_have_no_order(*, turned: bool) -> None:
    orders: list[Json] = [{"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}]
    given, ran = reversed(orders) if turned else orders
    data = executed_json()
    data["metadata"]["papermill"]["parameters"] = ran
    verdict = Attempt(executed=data, parameters=given).judge()
    assert verdict.green, verdict


def test_an_injected_cell_of_the_input_is_replaced_where_it_stands() -> None:
    before, last = code(1, "days = 1", "parameters"), code(4, "days")
    source = notebook_json(before, code(2, "x"), code(3, "days = 2", "injected-parameters"), last)
    after = notebook_json(before, code(2, "x"), code(3, "days = 7", "injected-parameters"), last)
    after = copy.deepcopy(after)
    for number, cell in enumerate(after["cells"], start=1):
        run_cell(cell, number)
    assert Attempt(source=source, executed=after).judge().green
    assert Attempt(source=source, executed=after, parameters={}).judge().reason == "cells_differ"


def test_without_a_parameters_cell_the_injected_one_comes_first() -> None:
    source = notebook_json(code(1, "x"))
    after = notebook_json(code(0, "days = 7", "injected-parameters"), code(1, "x"))
    for number, cell in enumerate(after["cells"], start=1):
        run_cell(cell, number)
    assert Attempt(source=source, executed=after).judge().green


def test_what_papermill_did_not_mark_is_judged_by_counts_alone() -> None:
    data = executed_json()
    del data["metadata"]["papermill"]
    for cell in data["cells"]:
        cell["metadata"].pop("papermill", None)
    assert Attempt(executed=data).judge().green


def test_names_do_not_matter_to_a_notebook_of_a_newer_minor_format() -> None:
    data = executed_json()
    data["nbformat_minor"] = 9
    assert Attempt(executed=data).judge().green


def test_expected_names_its_notebook() -> None:
    expected: Expected = expected_of(read(input_json()), {})
    assert expected.executed_name == "demo.ipynb"


def test_jupyters_number_is_named_where_papermill_has_added_a_cell() -> None:
    attempt = Attempt(on_evidence=[put("papermill", value={"exit_code": 1, "seconds": 3.2})])
    executed = executed_json()
    run_cell(executed["cells"][7], 5, error_output())
    attempt.executed = executed
    verdict = attempt.judge()
    assert verdict.message == "cell 6 of 6 (In [5]) failed: ValueError: no rides"


def test_an_unmet_expectation_lists_what_was_written() -> None:
    verdict = expecting(Expectation("outputs/*.parquet")).judge()
    assert verdict.reason == "output_missing"
    assert "; the notebook wrote outputs/" in verdict.message


def test_a_failed_notebook_that_is_too_large_to_be_read_is_said_to_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("builder.judge.verdict.MAX_EXECUTED_BYTES", 100)
    attempt = evidence(put("papermill", "exit_code", value=1))
    judged = attempt.judge()
    assert judged.reason == "notebook_failed"
    assert judged.message.startswith(
        "papermill ended with exit code 1; the executed notebook has more than the 100 bytes"
    )
