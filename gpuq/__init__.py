"""The `gpuq` command.

__main__.py        entry point: errors become one sentence and an exit code
cli.py             the command group, its options and exit codes
errors.py          the errors, each with its exit code
config_file.py     `--config @file`
checks.py          how `gpuq doctor` judges each part's answer
commands/          one file per group of commands
remote/            the connections: the queue manager over HTTP, and Redis for administrators
output/            tables, JSON, YAML, progress
up/                the whole system on this machine
"""
