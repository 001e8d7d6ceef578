"""Runs notebooks one after another as the runner does, without a VM around them.

`python -I -S kernel_driver.py KIT FOLDER`: FOLDER has a folder for each notebook, with its `request.json`; this program
writes `end.json` beside it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any


def run(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    from builder.vm.runner import kernel_launcher, kernels, notebook, papermill_request, processes
    from builder.vm.runner.log import Log

    papermill = notebook.Papermill()
    jupyter = folder / "jupyter"
    kernels.write_python_kernel(jupyter, Path(kernel_launcher.__file__).with_suffix(".py"))
    work = folder / "work"
    work.mkdir(exist_ok=True)
    given = papermill_request.PapermillRequest(
        folder=folder,
        cwd=work,
        notebook="work/demo.ipynb",
        name="demo",
        kernel="python3",
        language="python",
        parameters=request["parameters"],
        injected="",
        environment={"JUPYTER_PATH": str(jupyter)},
        timeout=600.0,
        cell_timeout=request["cell_timeout"],
    )
    chunks: list[bytes] = []
    log = Log(lambda _number, content: chunks.append(content))
    if request["out_of_memory"]:
        counts = iter((0, 1))
        processes.out_of_memory_kills = lambda: next(counts)
    ended = papermill.run(given, log, lambda _cell, _cells: None, lambda: "")
    log.finish()
    fault = None
    if ended.fault:
        fault = {"reason": ended.fault.reason, "message": ended.fault.message, "cell": ended.fault.cell}
    notices = [{"kind": one.kind, "cell": one.cell, "message": one.message} for one in ended.notices]
    text = b"".join(chunks).decode()
    return {"exit_code": ended.exit_code, "fault": fault, "notices": notices, "log": text}


def main() -> None:
    kit, folder = Path(sys.argv[1]), Path(sys.argv[2])
    sys.path[:1] = map(str, (kit, kit / "runner-site", kit / "kernel", kit / "kernel.zip"))
    from builder.vm.runner import processes

    processes.adopt_orphans()
    real = processes.out_of_memory_kills
    for request in sorted(folder.glob("*/request.json")):
        processes.out_of_memory_kills = real
        end = run(request.parent, json.loads(request.read_text()))
        Path(request.parent, "end.json").write_text(json.dumps(end))
    os._exit(0)


if __name__ == "__main__":
    main()
