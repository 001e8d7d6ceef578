"""Reports a run, a plan or a preflight to people and programs, with one file per format. No lower layer imports it."""
