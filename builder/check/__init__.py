"""The preflight: asks Google about a plan (`ask.py`), and turns the answers into rows. Only `ask.py` makes calls."""
