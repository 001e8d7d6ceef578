"""The clients of Google Cloud, one file per service, behind the Protocols of ports.py and its two neighbors.

The builder imports google.* nowhere else.
"""
