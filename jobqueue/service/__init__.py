"""This package starts a service: it reads settings, configures the log and binds the socket."""
