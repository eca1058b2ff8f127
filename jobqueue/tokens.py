"""This module declares access tokens and their stored form. Pure; the clock is an argument."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum

from jobqueue.clock import rfc3339, seconds
from jobqueue.errors import CorruptData

#: By this prefix, people and scanners for leaked secrets recognise a token.
PREFIX = "gpuq_"
#: Two, so that a new token can be in use everywhere before the old one is revoked.
MOST_LIVE_PER_USER = 2

_SECRET_BYTES = 32
_ID_LENGTH = 10


class Role(StrEnum):
    """What the holder of a token may do: act as one user, or as any user."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True)
class Token:
    """The stored record of a token, under its digest; the token itself is never stored."""

    digest: str
    user: str
    role: Role
    created_at: float  #: seconds since the epoch
    expires_at: float | None = None
    label: str = ""

    @property
    def id(self) -> str:
        """Return the short name of the token; it does not help to guess 256 random bits."""
        return self.digest[:_ID_LENGTH]

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def may_act_as(self, user: str) -> bool:
        return self.is_admin or self.user == user

    def encode(self) -> str:
        """Return the record as JSON.

        add_token.lua reads `user` and compares `expires_at` as a text, so times have one width.
        """
        expires_at = None if self.expires_at is None else rfc3339(self.expires_at)
        record = {"user": self.user, "role": self.role, "created_at": rfc3339(self.created_at)}
        return json.dumps({**record, "expires_at": expires_at, "label": self.label})

    @classmethod
    def decode(cls, digest: str, text: str) -> "Token":
        """Read what `encode` wrote; raises CorruptData if any part is wrong."""
        try:
            record = json.loads(text)
            expires_at = record["expires_at"]
            return cls(
                digest=digest,
                user=str(record["user"]),
                role=Role(record["role"]),
                created_at=seconds(record["created_at"]),
                expires_at=None if expires_at is None else seconds(expires_at),
                label=str(record["label"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptData(
                f"The token {digest[:_ID_LENGTH]} cannot be read; "
                f"delete it: redis-cli hdel tokens {digest}"
            ) from error


def new_secret() -> str:
    """Return a new token as its holder gets it: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a token in hex.

    Salt and slow hashes protect passwords; 256 random bits cannot be guessed.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
