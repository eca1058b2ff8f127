"""Making decisions happen: every write, through the leader and an engine."""
