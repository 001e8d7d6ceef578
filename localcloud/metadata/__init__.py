"""The metadata server of a VM or of a process: who it is, its attributes, and its tokens."""
