"""The engines that run jobs: `contract.py` says what an engine must do."""
