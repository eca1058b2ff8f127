"""This module reads the settings of a service from the environment into one frozen object."""

import re
import sys
from typing import Annotated, Any, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, ValidationError
from pydantic_settings import BaseSettings

LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(lambda value: str(value).upper())
]
LogFormat = Literal["json", "console"]


def _check_url(schemes: tuple[str, ...]) -> AfterValidator:
    """Return a validator for URLs of these schemes with a valid port."""

    def check(url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in schemes:
            raise ValueError(
                f"it must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}"
            )
        _ = parts.port  # raises ValueError if it is not a port
        return url

    return AfterValidator(check)


RedisUrl = Annotated[str, _check_url(("redis", "rediss", "unix"))]
HttpUrl = Annotated[str, _check_url(("http", "https"))]

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

EXIT_BAD_SETTINGS = 2


def load_settings(kind: type[SettingsT]) -> SettingsT:
    """Return the settings from the environment.

    Wrong values end the process (exit 2) with a sentence for each on stderr.
    """
    try:
        return kind()
    except ValidationError as error:
        refuse_to_start(*(_sentence(dict(detail)) for detail in error.errors(include_url=False)))


def refuse_to_start(*sentences: str) -> NoReturn:
    """Print these sentences to stderr and end the process with exit code 2."""
    for sentence in sentences:
        print(sentence, file=sys.stderr)
    sys.exit(EXIT_BAD_SETTINGS)


def shown(settings: BaseSettings) -> dict[str, Any]:
    """Return the settings for the log, without passwords in URLs and without alert addresses."""
    values = settings.model_dump(mode="json")
    return {
        name: "…" if name == "alert_urls" and value else _masked(value)
        for name, value in values.items()
    }


def _masked(value: Any) -> Any:
    return re.sub(r"(?<=://)([^/@:]*):[^/]*@", r"\1:…@", value) if isinstance(value, str) else value


def _sentence(detail: dict[str, Any]) -> str:
    name = "_".join(str(part) for part in detail["loc"][:1]).upper() or "The environment"
    rule = str(detail["msg"]).removeprefix("Value error, ").removesuffix(".")
    value = _masked(str(detail["input"]))
    return (
        f"{name}={value!r} is refused: {rule[:1].lower()}{rule[1:]}. Correct {name}, or unset it."
    )
