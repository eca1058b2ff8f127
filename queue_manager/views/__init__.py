"""What the API answers about jobs: records, reasons, pages, Prometheus metrics."""
