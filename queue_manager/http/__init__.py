"""This package holds HTTP in general: problem documents, ETags, query parameters, JSON bodies."""
