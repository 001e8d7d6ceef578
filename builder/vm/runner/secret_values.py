"""The step that reads the job's secrets, and refuses a job whose staged files already hold their values."""

from __future__ import annotations

import json

from builder.vm.protocol import Job

from . import redacted_files, secret_manager
from .attempt import Attempt
from .fault import Fault
from .inputs import LoadedNotebook


def read(attempt: Attempt, job: Job, loaded: LoadedNotebook) -> dict[str, str]:
    """Return the kernel's secret variables. From here on, everything that leaves the VM is redacted. Raises `Fault`."""
    secrets = secret_manager.resolve(attempt.settings.metadata.secretmanager_endpoint, job.secrets)
    attempt.facts.secrets = secrets
    secret_manager.check(secrets)
    values = {secret.name: secret.value for secret in secrets}
    attempt.protect(values)
    place, secret = redacted_files.find_staged(attempt.tree, loaded.staged, attempt.redactor)
    if found := attempt.redactor.find(json.dumps(loaded.parameters).encode()):
        place, secret = "the notebook's parameters", found
    if secret:
        message = f"the value of secret {secret} is in {place}, so it is no longer secret"
        raise Fault("secret_in_source", message)
    shown = ", ".join(f"{s.name} (version {s.version} of {s.resource})" for s in secrets)
    attempt.log.line(f"secrets for the kernel: {shown}")
    return values
