"""This package carries out decisions: each write goes through the leader or an engine."""
