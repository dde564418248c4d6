"""URLs, addresses and names: each function says what is wrong with one, or None."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from idp_proxy.config.settings import Listen

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_DOMAIN = re.compile(r"(?=.{1,253}\Z)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
#: SAML core 2.0, section 8.3.6: an entity identifier has at most 1024 characters.
_ENTITY_ID_LENGTH = 1024
_HIGHEST_PORT = 65535


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach `host`."""
    return host in _LOOPBACK


def url_host(url: str) -> str | None:
    """The host of a URL that `url_problem` found nothing wrong with."""
    return urlsplit(url).hostname


def url_problem(url: str, *, loopback_http: bool = False) -> str | None:
    """What keeps `url` from being an https URL; plain http passes on loopback if that is allowed.

    A URL with a user name or password is refused: it would be shown in logs and pages.
    """
    if not url:
        return "missing"
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return f"not a URL: {url!r}; it has the form https://host/path"
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password"
    if not _is_host(parts.hostname):
        return f"not a host name: {parts.hostname!r}"
    if parts.scheme == "http" and not (loopback_http and is_loopback(parts.hostname)):
        return (
            "plain http would show logins to everybody on the way (WEB-01); use https "
            "(http is for 127.0.0.1 with insecure_loopback = true)"
        )
    return None


def origin_problem(url: str, *, loopback_http: bool) -> str | None:
    """What keeps `url` from being a bare origin, such as https://sso.example.org."""
    if (problem := url_problem(url, loopback_http=loopback_http)) is not None:
        return problem
    parts = urlsplit(url)
    bare = f"{parts.scheme}://{parts.netloc}"
    if url != bare:
        return f"must be only scheme and host, without path or slash at the end: {bare}"
    return None


def support_problem(url: str) -> str | None:
    """What keeps `url` from being a link to help: https, mailto, or http on loopback."""
    if url.startswith("mailto:") and _split(url) is not None and "@" in url:
        return None
    return url_problem(url, loopback_http=True)


def outbound_problem(url: str) -> str | None:
    """What keeps `url` from being an HTTP proxy's address. The value may hold a password."""
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"} or not parts.hostname:
        return "not a proxy's URL; it has the form http://host:port"
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        return "a proxy's URL has no path; it has the form http://host:port"
    return None


def is_direct(host: str, no_proxy: tuple[str, ...]) -> bool:
    """Whether `host` is one of these names or lies under one of them."""
    name = host.lower().rstrip(".")
    domains = [entry.lower().strip().strip(".") for entry in no_proxy]
    return any(name == domain or name.endswith(f".{domain}") for domain in domains if domain)


def directory_problem(url: str) -> str | None:
    """What keeps `url` from being a directory's address, such as ldaps://ldap.example.org."""
    parts = _split(url)
    if parts is None or parts.scheme not in {"ldap", "ldaps"} or not parts.hostname:
        return f"not a directory's address: {url!r}; it has the form ldaps://host or ldap://host"
    if "@" in parts.netloc or not _is_host(parts.hostname):
        return "names no host; user and password are bind_dn and bind_password"
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        return "must be only scheme, host and port; where to search is base"
    return None


def holds_password(url: str) -> bool:
    """Whether a URL has a user name or password in it."""
    parts = _split(url)
    return parts is None or parts.password is not None or parts.username is not None


def entity_id_problem(entity_id: str) -> str | None:
    """What keeps a text from being an entity ID (SAML core 8.3.6)."""
    if not entity_id:
        return "missing"
    if not is_word(entity_id):
        return "an entity ID holds no blanks and no control characters"
    if len(entity_id) > _ENTITY_ID_LENGTH:
        return f"{len(entity_id)} characters are too long for an entity ID: at most 1024"
    return None


def domain_problem(domain: str) -> str | None:
    """What keeps a text from being a mail domain, such as example.org."""
    if _DOMAIN.fullmatch(domain.lower()) is None:
        return f"not a mail domain: {domain!r}; it has the form example.org"
    return None


def network_problem(network: str) -> str | None:
    """What keeps a text from being the network of a reverse proxy (WEB-04)."""
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError as error:
        return f"not a network: {error}; it has the form 10.0.0.0/8 or 192.0.2.7"
    if parsed.prefixlen == 0:
        return "trusts the forwarding headers of everybody (WEB-04); name your reverse proxies"
    return None


def name_problem(name: str) -> str | None:
    """What keeps a text from being an upstream's name: it stands in URLs, files and commands."""
    if not name:
        return "missing"
    if _NAME.fullmatch(name) is None:
        return f"{name!r} is no name: 1 to 31 lower-case letters, digits and hyphens"
    return None


def is_word(text: str) -> bool:
    """Whether a text is not empty and has neither blanks nor control characters."""
    return bool(text) and text.isprintable() and not any(character.isspace() for character in text)


def parse_listen(text: str) -> Listen | None:
    """`host:port`, with an IPv6 address in brackets; None if it is not."""
    parts = _split(f"//{text}")
    if parts is None or parts.netloc != text or not parts.hostname or not parts.port:
        return None
    if "@" in text or not _is_host(parts.hostname):
        return None
    return Listen(parts.hostname, parts.port)


def _split(url: str) -> SplitResult | None:
    """`url` in parts; None for what urlsplit would silently mend, or cannot read."""
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return None if port is not None and not 0 < port <= _HIGHEST_PORT else parts


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return _HOST.fullmatch(host) is not None
    return True
