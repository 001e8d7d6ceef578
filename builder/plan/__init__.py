"""Planning: which notebooks, which files, which VMs. Reads the workspace, calls nothing, and ends in a value to print."""
