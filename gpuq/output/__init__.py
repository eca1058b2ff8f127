"""This package prints results: tables, JSON, YAML, progress."""
