"""This package holds what the routes share: access control, services, long polls."""
