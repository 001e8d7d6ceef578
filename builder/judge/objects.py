"""Checks that Cloud Storage holds exactly what the evidence lists. One part of the verdict. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from builder.judge.cell_checks import environments_fault, notebooks_fault
from builder.model import Listed, Verdict
from builder.plain_text import one_line
from builder.vm.protocol import Evidence


def check_objects(evidence: Evidence, listing: Mapping[str, Listed]) -> Verdict | None:
    """Return the verdict on an object that is missing or differs, or on an output that the evidence does not list."""
    for item in evidence.objects:
        found = listing.get(item.name)
        if found is None:
            message = f"{one_line(item.name)} was uploaded but is not in Cloud Storage"
            return environments_fault("object_missing", message)
        for field in ("size", "crc32c", "generation"):
            wanted, got = getattr(item, field), getattr(found, field)
            if wanted != got:
                message = f"{one_line(item.name)} in Cloud Storage has {field} {got}; the VM wrote {wanted}"
                return environments_fault("object_differs", message)
    listed = {item.name for item in evidence.objects}
    stray = next(
        (name for name in sorted(listing) if name.startswith("outputs/") and name not in listed), None
    )
    if stray is not None:
        message = f"{one_line(stray)} is in Cloud Storage, but the evidence does not list it"
        return environments_fault("object_unlisted", message)
    return None


def check_skipped(evidence: Evidence) -> Verdict | None:
    """Return the verdict on a file in outputs/ that was not uploaded: it would be missing without notice."""
    if not evidence.skipped:
        return None
    first, more = evidence.skipped[0], len(evidence.skipped) - 1
    message = f"{one_line(first.path)} was not uploaded: {one_line(first.why)}"
    if more:
        message += f" (and {more} more)"
    advice = "Keep only files with plain names in outputs/, and links to such files. Put everything else elsewhere."
    return notebooks_fault("output_not_uploaded", message, advice)
