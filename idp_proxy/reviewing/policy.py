"""The policy that a reviewer signs, from the settings.

Every field stands in it that a `repr` of the settings would show: what is kept from there is a
secret, and only that it is set is told. Keys of ours stand in it by their certificates. What
differs from host to host is left out, for one signature counts for all hosts of a store.

The keys of an upstream belong to it where a file is its warrant. Fetched metadata has a warrant of
its own (a pin, or two people who approve), which is what is signed.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509 import Certificate

from idp_proxy.config import MetadataFile, SamlSettings
from idp_proxy.config.settings import KeyPair
from idp_proxy.decision.review.policy import ORDER, UPSTREAM, lasting
from idp_proxy.reviewing.gathering import metadata_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from idp_proxy.config import Settings
    from idp_proxy.decision.review import Policy
    from idp_proxy.upstream.configured import ConfiguredUpstream

#: What is this host's alone, or no policy.
_LEFT_OUT: Final = frozenset(
    {
        "path",
        "warnings",
        "metrics",
        "conversion_token",
        "store",
        "proxy.host",
        "proxy.listen",
        "proxy.workers",
        "proxy.data_dir",
        "proxy.tls",
        "proxy.outbound",
    }
)
#: In front of what each upstream's words are worth, by its name.
_BY_UPSTREAM: Final = "assurance.upstreams."


def policy_of(
    settings: Settings, upstreams: Mapping[str, ConfiguredUpstream], now: datetime
) -> Policy:
    """Every field by its path."""
    found = {ORDER: ", ".join(one.name for one in settings.upstreams)}
    for field in fields(settings):
        if field.name in _LEFT_OUT:
            continue
        if field.name == "upstreams":
            for one in settings.upstreams:
                found.update(_flat(f"{UPSTREAM}{one.name}", one))
                found.update(_believed(f"{UPSTREAM}{one.name}", one, upstreams[one.name], now))
            continue
        found.update(_flat(field.name, getattr(settings, field.name)))
    return lasting({_at_its_upstream(path): value for path, value in found.items()})


def _at_its_upstream(path: str) -> str:
    """What is configured as one map of all upstreams, where the one that it is about stands."""
    if not path.startswith(_BY_UPSTREAM):
        return path
    name, _, rest = path.removeprefix(_BY_UPSTREAM).partition(".")
    return f"{UPSTREAM}{name}.assurance.{rest}"


def _believed(
    at: str, wanted: object, upstream: ConfiguredUpstream, now: datetime
) -> Iterator[tuple[str, str]]:
    if not isinstance(wanted, SamlSettings) or not isinstance(wanted.metadata, MetadataFile):
        return
    metadata = metadata_of(upstream, now)
    if metadata is not None:
        yield f"{at}.metadata.entity_id", metadata.entity_id
        keys = sorted(hashlib.sha256(der).hexdigest() for der in metadata.signing_certificates)
        yield f"{at}.metadata.keys", ", ".join(keys)
        for binding, address in metadata.sso.items():
            yield f"{at}.metadata.sso.{binding.rpartition(':')[2]}", address


def _flat(at: str, value: Any) -> Iterator[tuple[str, str]]:
    if at in _LEFT_OUT or at.endswith(".outbound"):
        return
    if isinstance(value, KeyPair):
        yield f"{at}.certificate", _digest(value.certificate)
    elif is_dataclass(value):
        yield from _of_fields(at, value)
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield from _flat(f"{at}.{_word(key)}", value[key])
    elif isinstance(value, tuple) and any(map(is_dataclass, value)):
        for number, one in enumerate(value):
            yield from _flat(f"{at}.{getattr(one, 'name', number)}", one)
    else:
        yield at, _word(value)


def _of_fields(at: str, value: Any) -> Iterator[tuple[str, str]]:
    for field in fields(value):
        under, inner = f"{at}.{field.name}", getattr(value, field.name)
        if field.repr:
            yield from _flat(under, inner)
        elif (told := _of_what_is_kept(inner)) is not None:
            yield under, told


def _of_what_is_kept(value: Any) -> str | None:
    """A certificate by its digest; of anything else only whether it is set."""
    if isinstance(value, Certificate):
        return _digest(value)
    if isinstance(value, tuple) and value and all(isinstance(one, Certificate) for one in value):
        return ", ".join(map(_digest, value))
    return "set" if value else None


def _word(value: Any) -> str:
    """A value as text; a set in the order of its members' texts."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():.15g} s"
    if isinstance(value, Path):
        return value.name
    if isinstance(value, frozenset | set):
        return ", ".join(sorted(map(_word, value)))
    if isinstance(value, Collection) and not isinstance(value, str):
        return ", ".join(map(_word, value))
    return "" if value is None else str(value)


def _digest(certificate: Certificate) -> str:
    return f"sha256:{certificate.fingerprint(SHA256()).hex()}"
