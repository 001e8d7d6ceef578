"""The runner's observations of papermill, and the fault that explains papermill's end. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

from builder.vm.protocol import DEAD_KERNEL, Notice

from .fault import Fault, Stop, ended
from .papermill_request import PapermillRequest

# papermill's exception for a cell with an error, which the executed notebook shows.
CELL_FAILED = "PapermillExecutionError"


@dataclass
class Seen:
    """The progress according to the events. A cell's number is None for papermill's injected parameters."""

    cells: int = 0
    cell: int | None = None
    running: bool = False
    timed_out: bool = False
    failed: str = ""
    error: dict[str, Any] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)

    def where(self) -> str:
        """Return in words where papermill was."""
        if self.cell is None:
            return "before the first cell" if not self.running else "in the injected parameters"
        return f"{'in' if self.running else 'after'} cell {self.cell} of {self.cells}"


@dataclass(frozen=True)
class Ended:
    """The end of papermill: its exit code, its seconds, a fault if the exit code does not explain it, and notices."""

    exit_code: int
    seconds: float
    fault: Fault | None
    notices: tuple[Notice, ...] = ()


def fault_of(
    code: int, seen: Seen, cause: Stop | Literal["timeout"], request: PapermillRequest, *, out_of_memory: bool
) -> Fault | None:
    """Return the fault that explains papermill's end; None if its exit code is enough.

    `out_of_memory`: the machine's Linux kernel has killed a process because memory ran out.
    """
    return next(chain(_limits(seen, cause, request), _deaths(code, seen, request, out_of_memory)), None)


def _limits(seen: Seen, cause: Stop | Literal["timeout"], request: PapermillRequest) -> Iterator[Fault]:
    """Yield the limits that ended papermill, the strongest first."""
    cell, where = seen.cell, seen.where()
    if cause == "timeout":
        yield Fault(
            "notebook_timeout", f"the notebook reached its limit of {request.timeout:g} s {where}", cell
        )
    elif cause:
        yield ended(cause, where, cell)
    if seen.timed_out:
        yield Fault(
            "cell_timeout",
            f"cell {cell} of {seen.cells} reached its limit of {request.cell_timeout:g} s",
            cell,
        )
    if seen.error.get("disk_full") or "[Errno 28]" in seen.failed:
        yield Fault("disk_full", f"the VM's disk is full {where}", cell)


def _deaths(code: int, seen: Seen, request: PapermillRequest, out_of_memory: bool) -> Iterator[Fault]:  # noqa: FBT001
    """Yield what ended papermill or the kernel otherwise, the strongest first."""
    cell, where, error = seen.cell, seen.where(), seen.error
    died = "out_of_memory" if out_of_memory else "kernel_died"
    memory = "; the machine ran out of memory" if out_of_memory else ""
    if code == DEAD_KERNEL:
        yield Fault(died, f"the kernel died {where}{memory}", cell)
    if code < 0:
        yield Fault(died, f"papermill was ended by signal {-code} {where}{memory}", cell)
    if error.get("type") == "NoSuchKernel":
        yield Fault("kernel_not_found", f"kernel {request.kernel!r} is not on this image")
    if not code or error.get("type") == CELL_FAILED:
        return
    text = f"{error['type']}: {error.get('text', '')}" if error else f"papermill's exit code was {code}"
    if error.get("type") == "RuntimeError" and cell is None and not seen.running:
        yield Fault("kernel_died", f"the kernel did not start: {error.get('text', '')}")
    yield Fault("notebook_failed", f"papermill failed {where}: {text}", cell)
