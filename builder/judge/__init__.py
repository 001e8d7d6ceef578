"""Judging an attempt: evidence read strictly, and one pure function from what is proven to a verdict."""
