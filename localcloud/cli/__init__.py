"""The command line of localcloud."""
