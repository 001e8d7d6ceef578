"""Loads at its import what a builder loads at its first run, so that forks of the process that imports it need not."""

import gc

from builder.plan.notebook_schema import schema_fault
from builder.report import files as _files  # noqa: F401
from builder.report.page import _environment
from tests.integration.cloud_fixture import NOTEBOOK

schema_fault(NOTEBOOK)
for _template in _environment().list_templates(["j2"]):
    _environment().get_template(_template)

# A fork lives for a second. A collection in it would copy all pages of the process that it comes from.
gc.collect()
gc.freeze()
gc.disable()
