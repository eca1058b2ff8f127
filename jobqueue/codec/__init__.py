"""This package derives how a record is written and read from one declaration of its fields."""
