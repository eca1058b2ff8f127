"""The commands beside training, one file each: `python -m proto_gcn COMMAND --help`."""
