"""Options: each is declared once, read from flags, environment and notebooks.yaml, and checked before any call."""

from builder.options.command_options import NotebookEntry, Options
from builder.options.environment import Build
from builder.options.job_options import JobOptions
from builder.options.load import load_options
from builder.options.machine_options import MachineOptions
from builder.options.run_options import Deployment

__all__ = ["Build", "Deployment", "JobOptions", "MachineOptions", "NotebookEntry", "Options", "load_options"]
