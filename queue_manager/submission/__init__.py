"""This package checks a submission and its configuration."""
