"""This package has the parts of the store, one subject each; `client.py` composes them."""
