"""Exit code, message and advice for the faults that the runner reports and whose cause is known. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from builder.errors import ExitCode
from builder.judge.cell_checks import READ_LOG
from builder.judge.expected import Expected
from builder.judge.step_faults import STEP_FAULTS
from builder.vm.protocol import PREEMPTED, Evidence

OVERRUN_ADVICE = "Write less to outputs/, or raise NB_TIMEOUT: uploads can use the rest of NB_TIMEOUT and ten more minutes."

SPOT_ADVICE = (
    "Run again, raise NB_MAX_ATTEMPTS, or set NB_PROVISIONING=spot-then-standard, which uses a standard VM for the last "
    "attempt."
)


def known_faults(
    expected: Expected, evidence: Evidence, where: str
) -> Mapping[str, tuple[ExitCode, str, str]]:
    """Return exit code, message and advice for each fault whose cause is known."""
    disk = evidence.disk_free_bytes
    memory = evidence.peak_memory_bytes
    return {
        PREEMPTED: (ExitCode.ENVIRONMENT_FAILED, "Compute Engine took the Spot VM back", SPOT_ADVICE),
        "cell_timeout": (
            ExitCode.TIME_LIMIT,
            f"a cell ran longer than its limit of {expected.job.options.cell_timeout} s{where}",
            "Make the cell shorter, or raise NB_CELL_TIMEOUT.",
        ),
        "notebook_timeout": (
            ExitCode.TIME_LIMIT,
            f"the notebook ran longer than its limit of {expected.job.options.timeout} s{where}",
            "Make the notebook shorter, or raise NB_TIMEOUT.",
        ),
        "run_timeout": (
            ExitCode.TIME_LIMIT,
            f"the run reached the limit of its VM{where}",
            OVERRUN_ADVICE,
        ),
        "kernel_died": (
            ExitCode.NOTEBOOK_FAILED,
            f"the kernel died{where}"
            + ("" if memory is None else f", after {_size(memory)} of memory in use"),
            (
                "Look at the end of the log. A kernel ends if the notebook ends its process (quit, os._exit, a signal), or "
                "if native code crashes."
            ),
        ),
        "out_of_memory": (
            ExitCode.NOTEBOOK_FAILED,
            f"the machine ran out of memory{where}",
            f"Use less memory, or take a larger machine: NB_MACHINE_TYPE is {expected.job.options.machine_type}.",
        ),
        "notebook_failed": (ExitCode.NOTEBOOK_FAILED, f"papermill failed{where}", READ_LOG),
        "kernel_not_found": (
            ExitCode.NOTEBOOK_FAILED,
            f"the kernel {expected.notebook.kernel!r} is not on the VM",
            "Set the kernel of the notebook, or NB_KERNEL, to one that the image has.",
        ),
        "forbidden": (
            ExitCode.PROJECT_SETUP,
            "the VM's account may not read what was staged for it",
            "Grant NB_VM_SERVICE_ACCOUNT its roles on kits/ and staging/ (docs/accounts.md).",
        ),
        "disk_full": (
            ExitCode.NOTEBOOK_FAILED,
            f"the VM's disk is full{where}"
            + ("" if disk is None else f"; {_size(disk)} were free at the end of the run"),
            "Write less, or raise NB_BOOT_DISK_GB.",
        ),
        "too_many_outputs": (
            ExitCode.NOTEBOOK_FAILED,
            "outputs/ has more files than can be listed",
            "Write fewer files, such as one archive of them.",
        ),
        **STEP_FAULTS,
        "notebook_unreadable": (
            ExitCode.NOTEBOOK_FAILED,
            "papermill could not read the notebook",
            "Open it in Jupyter and save it again.",
        ),
    }


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
