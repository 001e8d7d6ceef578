"""A local Google Cloud for Google's own clients; README.md says what it covers."""
