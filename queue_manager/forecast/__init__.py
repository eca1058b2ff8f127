"""What can be said about the future: the wait of a job, and whether the scheduler is running."""
