"""The facts of the attempt as they become known, from which the evidence is made."""

from __future__ import annotations

import platform
import shutil
from dataclasses import dataclass, field, replace

from builder.vm.protocol import (
    Evidence,
    Inputs,
    KernelChoice,
    LogFacts,
    Packages,
    PapermillEnd,
    SecretUse,
    Skipped,
    StoredObject,
)

from . import processes
from .fault import Fault
from .image_packages import Package
from .papermill_end import Ended
from .redaction import Redactor
from .secret_manager import Secret
from .settings import Settings


@dataclass
class Facts:
    """Filled by the steps of the run, in their order. `image` None: the image's Python cannot list its packages."""

    inputs: Inputs = field(default_factory=Inputs)
    image: tuple[Package, ...] | None = None
    overlay: tuple[Package, ...] = ()
    kernel: KernelChoice = field(default_factory=lambda: KernelChoice(None, None))
    secrets: list[Secret] = field(default_factory=list)
    ended: Ended | None = None
    fault: Fault | None = None
    executed_notebook: str | None = None
    stored: list[StoredObject] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)

    def evidence(self, settings: Settings, log: LogFacts, redactor: Redactor) -> Evidence:
        """Return the evidence, without values in what notebooks and tools have written.

        The rest is the builder's own. A value that is a part of it, such as a project's name, must not change it.
        """
        metadata, ended = settings.metadata, self.ended
        return Evidence(
            run=metadata.run,
            job=metadata.job_id,
            attempt=metadata.attempt,
            nonce=metadata.nonce,
            inputs=self.inputs,
            papermill=PapermillEnd(ended.exit_code, round(ended.seconds, 3)) if ended else None,
            fault=replace(self.fault.report, message=redactor.text(self.fault.message))
            if self.fault
            else None,
            notices=tuple(
                replace(notice, message=redactor.text(notice.message))
                for notice in (ended.notices if ended else ())
            ),
            python=platform.python_version(),
            packages=self._packages(),
            kernel=self.kernel,
            executed_notebook=self.executed_notebook,
            objects=tuple(self.stored),
            skipped=tuple(
                Skipped(redactor.text(item.path), redactor.text(item.why)) for item in self.skipped
            ),
            secrets=tuple(
                SecretUse(
                    secret.name, secret.resource, secret.version, secret.problem, redactor.counts[secret.name]
                )
                for secret in self.secrets
            ),
            timings=self.timings,
            peak_memory_bytes=processes.peak_memory_bytes(),
            disk_free_bytes=shutil.disk_usage(settings.home).free,
            log=log,
        )

    def _packages(self) -> Packages | None:
        if self.image is None:
            return None
        return Packages(tuple(map(str, self.image)), tuple(map(str, self.overlay)))
