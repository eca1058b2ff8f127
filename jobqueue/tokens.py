"""This module defines access tokens and their stored form. It is pure: the time is an argument."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from enum import StrEnum

from jobqueue.clock import rfc3339, seconds
from jobqueue.errors import CorruptData

#: People, and scanners that search for leaked secrets, recognise a token by its prefix.
PREFIX = "gpuq_"
#: The limit is two, so that a new token can be in use before the old one is revoked.
MOST_LIVE_PER_USER = 2

_SECRET_BYTES = 32
_ID_LENGTH = 10


class Role(StrEnum):
    """A token lets its holder act as one user, or as any user."""

    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True)
class Token:
    """A token's data is stored under the token's digest; the token itself is stored nowhere."""

    digest: str
    user: str
    role: Role
    created_at: float  #: seconds since the epoch
    expires_at: float | None = None
    label: str = ""

    @property
    def id(self) -> str:
        """Return the start of the digest, which people use as the token's name.

        It reveals nothing about a token of 256 random bits.
        """
        return self.digest[:_ID_LENGTH]

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def may_act_as(self, user: str) -> bool:
        return self.is_admin or self.user == user

    def encode(self) -> str:
        """Return the token's data as JSON.

        add_token.lua compares `expires_at` as a text, so all times have the same width.
        """
        expires_at = None if self.expires_at is None else rfc3339(self.expires_at)
        record = {"user": self.user, "role": self.role, "created_at": rfc3339(self.created_at)}
        return json.dumps({**record, "expires_at": expires_at, "label": self.label})

    @classmethod
    def decode(cls, digest: str, text: str) -> "Token":
        """Read what `encode` wrote; raises CorruptData if any part cannot be read."""
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
                f"delete it from Redis: redis-cli hdel tokens {digest}"
            ) from error


def new_secret() -> str:
    """Return a new token for its holder: the prefix and 256 random bits."""
    return PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return the token's SHA-256 in hex.

    It needs no salt and no slow hash, which protect passwords: nobody can guess 256 random bits.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
