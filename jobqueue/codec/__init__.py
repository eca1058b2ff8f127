"""Declare a record's fields once, and derive how it is written and read."""
