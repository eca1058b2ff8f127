"""This module keeps access tokens, each under its digest."""

from collections.abc import Sequence

from jobqueue.clock import rfc3339
from jobqueue.store import keys
from jobqueue.store.connection import Connection
from jobqueue.tokens import MOST_LIVE_PER_USER, Token


class AccessTokens(Connection):
    """This part reads and writes access tokens."""

    def token_and_owner(self, digest: str, job_id: str) -> tuple[Token | None, str | None]:
        """Return the token of this digest and the user of the job, or None for each; one call."""
        with self._translated(), self._redis.pipeline(transaction=False) as pipe:
            pipe.hget(keys.TOKENS, digest)
            pipe.hget(keys.job(job_id), "user")
            text, owner = pipe.execute()
        return (None if text is None else Token.decode(digest, text)), owner

    def add_token(self, token: Token) -> None:
        """Write a new token; raises TooManyTokens."""
        self.run(
            "add_token",
            token.user,
            token.digest,
            token.encode(),
            rfc3339(token.created_at),
            MOST_LIVE_PER_USER,
        )

    def restore_token(self, token: Token) -> bool:
        """Write a token of a backup; return False if it exists already."""
        with self._translated():
            return bool(self._redis.hsetnx(keys.TOKENS, token.digest, token.encode()))

    def tokens(self) -> list[Token]:
        """Return all tokens, expired ones too, by user and time of creation."""
        with self._translated():
            records = self._redis.hgetall(keys.TOKENS)
        found = [Token.decode(digest, text) for digest, text in records.items()]
        return sorted(found, key=lambda token: (token.user, token.created_at))

    def remove_tokens(self, digests: Sequence[str]) -> None:
        if digests:
            with self._translated():
                self._redis.hdel(keys.TOKENS, *digests)
