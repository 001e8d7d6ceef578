"""Judges an attempt: a pure function from job, evidence and listing to a verdict."""
