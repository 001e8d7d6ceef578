"""The Python environments, sources and processes of functions."""
