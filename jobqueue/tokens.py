"""Access tokens: what one looks like, and what is kept of it. Pure; the clock is an argument."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum

from jobqueue.clock import rfc3339, seconds
from jobqueue.errors import CorruptData

#: So that a person, or a scanner that looks for leaked secrets, knows one on sight.
PREFIX = "gpuq_"
#: Two, so that a new one can be in use everywhere before the old one is revoked.
MOST_LIVE_PER_USER = 2

_SECRET_BYTES = 32
_ID_LENGTH = 10


class Role(StrEnum):
    """What a token lets its holder do: as herself only, or as anyone."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True)
class Token:
    """What is kept of a token, under its digest; the token itself is kept nowhere."""

    digest: str
    user: str
    role: Role
    created_at: float  #: seconds since the epoch
    expires_at: float | None = None
    label: str = ""

    @property
    def id(self) -> str:
        """What people call it by. It says nothing about a token of 256 random bits."""
        return self.digest[:_ID_LENGTH]

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def may_act_as(self, user: str) -> bool:
        return self.is_admin or self.user == user

    def encode(self) -> str:
        """As JSON. add_token.lua reads `user` and `expires_at`, so times are of one width: they compare as texts."""
        expires_at = None if self.expires_at is None else rfc3339(self.expires_at)
        record = {"user": self.user, "role": self.role, "created_at": rfc3339(self.created_at)}
        return json.dumps({**record, "expires_at": expires_at, "label": self.label})

    @classmethod
    def decode(cls, digest: str, text: str) -> "Token":
        """The inverse of `encode`; raises CorruptData, never lets a half-read record pass."""
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
                f"The token {digest[:_ID_LENGTH]} cannot be read; take it out of Redis: redis-cli hdel tokens {digest}"
            ) from error


def new_secret() -> str:
    """A token as its holder gets it: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """SHA-256 in hex. No salt and no slow hash: those protect passwords, and nobody guesses 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
