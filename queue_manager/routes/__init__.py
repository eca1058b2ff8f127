"""This package has one file with a blueprint per noun of the API; `app.py` registers them all."""
