"""The fast implementations of the model's operations."""
