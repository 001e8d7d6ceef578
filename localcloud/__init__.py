"""A local Google Cloud that Google's own clients talk to; see README.md for what it covers and what it does not."""
