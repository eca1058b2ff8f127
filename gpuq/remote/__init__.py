"""The command's connections: the queue manager over HTTP, and Redis for administrators."""
