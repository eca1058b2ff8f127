"""This package has fakes, real services as processes, and checks of Redis, for tests."""
