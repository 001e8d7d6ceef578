"""Planning: the notebooks, files and VMs of a run. Reads the workspace and calls no API."""
