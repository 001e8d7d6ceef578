"""One attempt that deserves green, in parts that tests spoil one at a time."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from builder.judge.expected import Expected
from builder.judge.verdict import judge
from builder.model import Expectation, Listed, Notebook, Verdict
from builder.options import JobOptions
from builder.plan import vm_spec
from builder.plan.build_plan import JobPlan
from builder.plan.notebooks import read_notebook
from builder.vm.protocol import Evidence

Json = dict[str, Any]
PREFIX_OBJECTS = {"heartbeat.json": 200, "log/000001.txt": 4000, "evidence.json": 2000}


def code(number: int, source: str | list[str], *tags: str) -> Json:
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "metadata": {"tags": list(tags)} if tags else {},
        "execution_count": None,
        "outputs": [],
        "source": source,
    }


def markdown(number: int, source: str, *tags: str) -> Json:
    metadata = {"tags": list(tags)} if tags else {}
    return {"cell_type": "markdown", "id": f"cell-{number}", "metadata": metadata, "source": source}


def notebook_json(*cells: Json) -> Json:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return {"cells": list(cells), "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def read(data: Json, path: str = "rides/demo.ipynb") -> Notebook:
    notebook = read_notebook(path, json.dumps(data).encode())
    assert isinstance(notebook, Notebook), notebook
    return notebook


def run_cell(cell: Json, count: int, *outputs: Json) -> None:
    """Does to a cell what papermill does when it ran well."""
    cell["execution_count"] = count
    cell["outputs"] = list(outputs)
    cell["metadata"]["papermill"] = {"exception": False, "status": "completed", "duration": 0.1}


def error_output(name: str = "ValueError", value: str = "no rides") -> Json:
    return {"output_type": "error", "ename": name, "evalue": value, "traceback": [f"{name}: {value}"]}


def input_json() -> Json:
    return notebook_json(
        markdown(0, "# Rides"),
        code(1, "days = 1", "parameters"),
        code(2, ["import csv\n", "rows = list(csv.reader(open('rides.csv')))"]),
        code(3, "  \n"),
        code(4, "rows['no']", "raises-exception"),
        code(5, "input('never')", "skip-execution"),
        code(6, "print(days)"),
    )


def executed_json() -> Json:
    data = copy.deepcopy(input_json())
    injected = code(9, "# Parameters\ndays = 7\n", "injected-parameters")
    data["cells"].insert(2, injected)
    cells = data["cells"]
    run_cell(cells[1], 1)
    run_cell(cells[2], 2)
    run_cell(cells[3], 3)
    cells[4]["metadata"]["papermill"] = {"exception": False, "status": "completed"}
    run_cell(cells[5], 4, error_output("TypeError", "list indices"))
    cells[6]["metadata"]["papermill"] = {"exception": False, "status": "completed"}
    run_cell(cells[7], 5, {"output_type": "stream", "name": "stdout", "text": ["7\n"]})
    data["metadata"]["papermill"] = {"exception": None, "parameters": {"days": 7}, "version": "2.7.0"}
    return data


@dataclass
class Attempt:
    """The input of `judge` before it is sealed: sizes of the executed notebook are filled in last."""

    source: Json = field(default_factory=input_json)
    executed: Json | bytes | None = field(default_factory=executed_json)
    parameters: Json = field(default_factory=lambda: {"days": 7})
    on_evidence: list[Callable[[Json], Any]] = field(default_factory=list)
    on_listing: list[Callable[[dict[str, Listed]], Any]] = field(default_factory=list)
    options: Json = field(default_factory=dict)

    def judge(self) -> Verdict:
        notebook = read(self.source)
        executed = (
            self.executed if isinstance(self.executed, bytes | None) else json.dumps(self.executed).encode()
        )
        expected = expected_of(notebook, self.parameters, **self.options)
        evidence = evidence_json(notebook, len(executed or b""))
        listing = listing_of(evidence)
        for change in self.on_evidence:
            change(evidence)
        for spoil in self.on_listing:
            spoil(listing)
        return judge(expected, Evidence.decode(json.dumps(evidence).encode()), executed, listing)


def expected_of(notebook: Notebook, parameters: Json, **options: Any) -> Expected:
    """Return what the evidence of a good attempt has, for a job with these options."""
    given: Json = {
        "secrets": {"MAPS_KEY": "projects/my-project/secrets/maps-key/versions/3"},
        "vm_service_account": "notebook-vm@my-project.iam.gserviceaccount.com",
        "expect": (Expectation("outputs/*.csv", 100), Expectation("outputs/**"), Expectation("demo.html")),
        "machine_type": "e2-standard-4",
        "timeout": 2400,
        "cell_timeout": 60,
        "fail_on": (),
    }
    job_options = JobOptions(zones=("us-central1-a",), **{**given, **options})
    return Expected(
        attempt=vm_spec.Attempt("run-1", "rides-demo", 1, "n0nce"),
        job=JobPlan("rides-demo", notebook, job_options, parameters, files=()),
        job_sha256="a" * 64,
        workspace_sha256="b" * 64,
        parameters_sha256="c" * 64,
        generations={"job": 11, "workspace": 12, "parameters": 13},
    )


def evidence_json(notebook: Notebook, executed_size: int) -> Json:
    sizes = {
        "demo.ipynb": executed_size,
        "demo.html": 900,
        "demo-clean.html": 800,
        "outputs/rides.csv": 120,
        "outputs/plots/days.png": 5000,
    }
    objects = [
        {"name": name, "size": size, "crc32c": "AAAAAA==", "generation": str(100 + number)}
        for number, (name, size) in enumerate(sizes.items())
    ]
    return {
        "schema": 1,
        "run": "run-1",
        "job": "rides-demo",
        "attempt": 1,
        "nonce": "n0nce",
        "inputs": {
            "job": {"sha256": "a" * 64, "generation": "11"},
            "workspace": {"sha256": "b" * 64, "generation": "12"},
            "parameters": {"sha256": "c" * 64, "generation": "13"},
            "notebook": {"sha256": notebook.sha256},
        },
        "papermill": {"exit_code": 0, "seconds": 3.2},
        "fault": None,
        "python": "3.12.3",
        "kernel": {"requested": "python3", "used": "python3"},
        "executed_notebook": "demo.ipynb",
        "objects": objects,
        "skipped": [],
        "secrets": [
            {
                "name": "MAPS_KEY",
                "resource": "projects/my-project/secrets/maps-key/versions/3",
                "version": "3",
                "problem": "",
                "redactions": 2,
            }
        ],
        "timings": {"boot": 1.0, "notebook": 3.2},
        "peak_memory_bytes": 3 * 2**30,
        "disk_free_bytes": 2**20,
        "log": {"chunks": 1, "bytes": 4000, "dropped_bytes": 0},
    }


def listing_of(evidence: Json) -> dict[str, Listed]:
    listed = [
        Listed(item["name"], item["size"], item["crc32c"], int(item["generation"]))
        for item in evidence["objects"]
    ]
    listed += [Listed(name, size, "AAAAAA==", 7) for name, size in PREFIX_OBJECTS.items()]
    return {item.name: item for item in listed}


def altered(listing: dict[str, Listed], name: str, **changes: Any) -> None:
    listing[name] = replace(listing[name], **changes)
