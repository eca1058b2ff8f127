"""This package builds the API's answers about jobs: records, reasons, pages, Prometheus metrics."""
