"""Parsing and validating a submission."""
