"""This package has what every service does at its start: settings, log, socket, health codes."""
