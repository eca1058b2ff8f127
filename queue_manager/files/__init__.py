"""Files below the data root, read safely: run folders and logs."""
