"""This package has the engines that run jobs; `contract.py` defines what an engine must do."""
