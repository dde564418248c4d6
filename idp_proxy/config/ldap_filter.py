"""A filter of a search (RFC 4515), judged by the parser that will send it."""

from __future__ import annotations

from typing import Any

from ldap3.core.exceptions import LDAPInvalidFilterError
from ldap3.operation.search import parse_filter

from idp_proxy.errors import ConfigError


def parsed(text: str, example: str) -> Any:
    """The root of the filter. Raises `ConfigError` with what is wrong, and an example."""
    try:
        return parse_filter(
            text,
            schema=None,
            auto_escape=False,
            auto_encode=False,
            validator=None,
            check_names=False,
        )
    except LDAPInvalidFilterError as error:
        raise ConfigError([f"no filter: {error}; it has the form {example}"]) from error
