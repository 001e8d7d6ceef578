"""Options: declared once in `table`, read from flags, environment and notebooks.yaml, checked before anything is done."""

from builder.options.load import Build, Deployment, Event, JobOptions, NotebookEntry, Options, load_options

__all__ = ["Build", "Deployment", "Event", "JobOptions", "NotebookEntry", "Options", "load_options"]
