"""BigQuery: the emulator bqemulator in an environment of its own, behind checks that use Google's messages.

Nothing is imported here: launcher.py, analysis.py and the data also run in that other environment, without localcloud's
packages.
"""
