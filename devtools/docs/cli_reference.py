"""Generate docs/cli.md from the commands themselves."""

import inspect
from collections.abc import Iterator

import click

from gpuq.cli import cli

_HEAD = """# Commands

`make docs` generates this page from the commands; `gpuq COMMAND --help` prints the same text.

Data goes to stdout, messages go to stderr. `-o json` and `-o yaml` print the API's own objects
unchanged, as `/openapi.json` describes them. (`history` joins the pages up to `--limit`. With
`--user`, `queue` has the shape of `GET /queue` with the first 100 waiting jobs of that user.)
Tables are for people: in a pipe each row is one line with the full text; on a terminal the last
column is wrapped, and there is colour unless `NO_COLOR` is set or `TERM` is `dumb`. `--watch`
redraws a terminal every two seconds, and elsewhere prints only what has changed; Ctrl-C ends it
with exit code 0. Instead of a job's identifier, `@latest` is the newest job of `--user` (default:
`$USER`). Durations are seconds, or a number with `s`, `m`, `h` or `d`: `90`, `45m`, `12h`, `7d`.
"""


def cli_reference() -> str:
    sections = "\n".join(
        section for path, command in _commands(["gpuq"], cli) for section in _section(path, command)
    )
    return f"{_HEAD}\n{sections}"


def _commands(path: list[str], command: click.Command) -> Iterator[tuple[list[str], click.Command]]:
    """The command and, in the order of their names, those below it."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands([*path, name], command.commands[name])


def _section(path: list[str], command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path[-1])
    yield f"{'#' * min(len(path) + 1, 3)} {' '.join(path)}\n"
    yield "```text\n" + " ".join([*path, *command.collect_usage_pieces(context)]) + "\n```\n"
    yield _prose(command.help or "") + "\n"
    options = [param for param in command.params if isinstance(param, click.Option)]
    if options:
        yield "| option | value | default | what |\n|---|---|---|---|"
        yield "\n".join(_row(option, context) for option in options) + "\n"
    if command.epilog:
        yield _prose(command.epilog) + "\n"


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    value = "" if option.is_flag else _code(option.make_metavar(context))
    return f"| {names} | {value} | {_default(option)} | {option.help or ''} |"


def _default(option: click.Option) -> str:
    env = f"`${option.envvar}`" if option.envvar else ""
    value = f"`{option.default}`" if option.show_default else "required" if option.required else ""
    return ", else ".join(filter(None, (env, value)))


def _code(text: str) -> str:
    """In a table's cell, where a bar would end it."""
    return "`" + text.replace("|", "\\|") + "`"


def _prose(text: str) -> str:
    """Paragraphs; those that click must not wrap (marked with \\b) as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        _as_is(part[2:]) if part.startswith("\b\n") else part.strip("\n") for part in paragraphs
    )


def _as_is(text: str) -> str:
    return "```text\n" + text.strip("\n") + "\n```"
