"""Make the first admin token: without one nobody could use a queue beyond loopback."""

from gpuq.remote.queue_store import open_store
from jobqueue.tokens import Role, Token, digest_of, new_secret

USER = "admin"
LABEL = "made by gpuq up"


def make_first_token(redis_url: str, now: float) -> str | None:
    """Return a new admin token, None if there is a valid one already. Raises GpuqFailure."""
    with open_store(redis_url) as store:
        if any(token.is_admin and not token.has_expired(now) for token in store.tokens()):
            return None
        secret = new_secret()
        store.add_token(Token(digest_of(secret), USER, Role.ADMIN, now, label=LABEL))
    return secret
