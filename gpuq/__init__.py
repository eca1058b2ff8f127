"""The `gpuq` command.

__main__.py        entry: errors become one sentence and an exit code
cli.py             the command group, its options and exit codes
errors.py          what can go wrong, each with its exit code
client.py          the queue manager over HTTP
config_file.py     `--config @file`
follow.py          a job to its end: the phases and the metrics as they come
progress.py        how that is shown: a bar on a terminal, else plain lines
text.py            tables and words on stdout, talk on stderr
listing.py         what a command found, as a table, JSON, YAML or names
job_views.py       which columns of jobs each command shows; node_views.py: of nodes, configs, templates
output.py          -o, --no-headers and --watch
checks.py          what `gpuq doctor` makes of each part's answer
commands/          one file a group of commands
up/                the whole system on this machine
"""
