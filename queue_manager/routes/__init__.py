"""One blueprint per noun of the API; `app.py` registers them all."""
