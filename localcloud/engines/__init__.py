"""The programs that localcloud runs: VMs, the steps of builds, functions and BigQuery.

Nothing is imported here: parts of it run in other environments, without the packages of localcloud.
"""
