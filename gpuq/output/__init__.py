"""What the command prints: tables, JSON, YAML, progress."""
