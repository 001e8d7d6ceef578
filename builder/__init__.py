"""Notebook Builder: runs a repo's Jupyter notebooks on Deep Learning VMs and turns the build green or red."""

__version__ = "0.1.0"
