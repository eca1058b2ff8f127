"""This package describes the API as an OpenAPI document."""
