"""This package holds the commands for trained networks, one file each (proto_gcn/__main__.py)."""
