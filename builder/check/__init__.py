"""The preflight: what to ask Google about a plan, and what the answers mean. Only `ask.py` calls anything."""
