"""gpuq admin token: create, list and revoke access tokens, directly in Redis."""

import time
from typing import Any

import click

from gpuq.commands.params import Duration
from gpuq.errors import NotFound
from gpuq.output.text import say, table
from gpuq.remote.queue_store import open_store
from jobqueue.clock import rfc3339
from jobqueue.tokens import Role, Token, digest_of, new_secret
from jobqueue.user import broken_by_user

_HEADS = ("ID", "USER", "ROLE", "CREATED", "EXPIRES", "LABEL")
_LONGEST_S = 10 * 366 * 24 * 3600

redis_url = click.option(
    "--redis-url",
    envvar="REDIS_URL",
    default="redis://127.0.0.1:6379/0",
    show_default=True,
    show_envvar=True,
    help="The queue's Redis.",
)


def _user(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    broken = None if value is None else broken_by_user(value)
    if broken:
        raise click.BadParameter(broken)
    return value


def _lifetime(_ctx: click.Context, _param: click.Parameter, value: int | None) -> int | None:
    if value is not None and not 0 < value <= _LONGEST_S:
        raise click.BadParameter(
            "must be more than 0 and at most ten years; omit it for a token that never expires"
        )
    return value


@click.group()
def token() -> None:
    """Manage access tokens of the API (AUTH=token)."""


@token.command()
@click.option("--user", required=True, callback=_user, help="The user who submits with it.")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.USER.value,
    show_default=True,
    help="An admin may act as every user.",
)
@click.option(
    "--expires",
    "lifetime_s",
    type=Duration(),
    callback=_lifetime,
    help="Lifetime, such as 12h or 90d. Default: never expires.",
)
@click.option("--label", default="", help="What the token is for.")
@redis_url
def create(user: str, role: str, lifetime_s: int | None, label: str, redis_url: str) -> None:
    """Create a token and print it once; only its hash is stored.

    A user may have two valid tokens.
    """
    secret, now = new_secret(), time.time()
    expires_at = None if lifetime_s is None else now + lifetime_s
    made = Token(digest_of(secret), user, Role(role), now, expires_at, label)
    with open_store(redis_url) as store:
        store.add_token(made)
    click.echo(secret)
    say(f"Token {made.id} of {user} ({role}). {_validity(made)}")
    say(f"Copy it now, it is not shown again. {user} sets GPUQ_TOKEN to it.")


@token.command("list")
@redis_url
def list_(redis_url: str) -> None:
    """List the tokens of all users; the tokens themselves are not stored."""
    with open_store(redis_url) as store:
        found = store.tokens()
    if found:
        click.echo(table(_HEADS, [_row(each, time.time()) for each in found]))
    else:
        say("There are no tokens; gpuq admin token create makes one.")


@token.command()
@click.argument("id_", metavar="[ID]", required=False)
@click.option("--user", callback=_user, help="Revoke all tokens of this user.")
@redis_url
def revoke(id_: str | None, user: str | None, redis_url: str) -> None:
    """Revoke a token, effective immediately."""
    if (id_ is None) == (user is None):
        raise click.UsageError("Name the token's ID (gpuq admin token list shows it), or --user.")
    with open_store(redis_url) as store:
        gone = [each for each in store.tokens() if id_ == each.id or user == each.user]
        store.remove_tokens([each.digest for each in gone])
    if not gone:
        raise NotFound(f"There is no token {id_}." if id_ else f"{user} has no token.")
    say(f"Revoked: {', '.join(f'{each.id} of {each.user}' for each in gone)}.")


def _row(each: Token, now: float) -> tuple[Any, ...]:
    return each.id, each.user, each.role, rfc3339(each.created_at), _expires(each, now), each.label


def _expires(each: Token, now: float) -> str:
    if each.expires_at is None:
        return "never"
    return f"{rfc3339(each.expires_at)}{' (expired)' if each.has_expired(now) else ''}"


def _validity(each: Token) -> str:
    if each.expires_at is None:
        return "It never expires."
    return f"It is valid until {rfc3339(each.expires_at)}."
