"""This package reads files below the data root safely: run folders and logs."""
