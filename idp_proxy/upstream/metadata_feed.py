"""The metadata of one upstream: where it comes from, what of it counts, what waits for approval.

The parent process calls `refresh` every hour; workers only look at the last good copy (`current`),
so no login waits for a fetch, and dead upstreams stop no start. What warrants a document:

    file      the operator put it there: a file is its own approval
    signed    the pinned certificate's key signed it, and it says until when it is valid
    tls       whoever answers at the address: additions wait for a person (`metadata_change`)
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cryptography.hazmat.primitives.serialization import Encoding

from idp_proxy.config import MetadataFile, Outbound, Trust
from idp_proxy.errors import ProxyError, UpstreamUnavailable
from idp_proxy.saml.metadata import (
    MAX_METADATA,
    MetadataInvalid,
    key_of,
    read_metadata,
    signed_octets,
)
from idp_proxy.saml.metadata_copy import kept_copy
from idp_proxy.upstream.fetch import FetchFailed, fetch
from idp_proxy.upstream.last_good import Checked, LastGood
from idp_proxy.upstream.metadata_change import MetadataDiff, Settled, diff, settle

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from idp_proxy.config import MetadataUrl
    from idp_proxy.saml.metadata import UpstreamMetadata

    Stamp = tuple[int, int, int] | None


class ApprovalRefused(ProxyError):
    """`metadata approve` with nothing to approve, or with the digest of another diff."""

    code = "metadata_not_approved"
    public = "Nothing was approved."
    http_status = 409


class Fetch(Protocol):
    """How a document is fetched: `fetch.fetch`, or a double of it."""

    def __call__(self, url: str, outbound: Outbound, limit: int) -> bytes:
        """The body, at most `limit` octets. Raises `FetchFailed`."""


@dataclass(frozen=True, slots=True)
class MetadataView:
    """What `metadata show` tells; `metadata` is None before anything was approved."""

    upstream: str
    source: str
    warrant: str
    metadata: UpstreamMetadata | None
    waiting: MetadataDiff | None
    checked: Checked | None


class MetadataFeed:
    """See the module. One object for each upstream and process; safe between threads."""

    def __init__(
        self,
        name: str,
        source: MetadataFile | MetadataUrl,
        folder: Path,
        *,
        outbound: Outbound | None = None,
        insecure_loopback: bool = False,
        fetch: Fetch = fetch,
    ) -> None:
        self._name = name
        self._source = source
        self._disk = LastGood(folder, name)
        self._outbound = outbound or Outbound()
        self._insecure_loopback = insecure_loopback
        self._fetch = fetch
        self._seen: tuple[tuple[Stamp, ...], UpstreamMetadata | None] = ((), None)

    # --- for logins ------------------------------------------------------------------------------

    def current(self, now: datetime) -> UpstreamMetadata:
        """What counts now; the same object for as long as it stays the same.

        Raises `UpstreamUnavailable` if nothing was approved yet, or if it has expired.
        """
        metadata = self._latest()
        if metadata is None:
            raise UpstreamUnavailable(
                f"{self._name} has no approved metadata: idp-proxy metadata show {self._name}"
            )
        if metadata.expired(now):
            raise UpstreamUnavailable(
                f"the metadata of {self._name} expired at {metadata.valid_until:%Y-%m-%d %H:%M} UTC"
            )
        return metadata

    def _latest(self) -> UpstreamMetadata | None:
        """Read again when a file changed. What cannot be read leaves in force what was before."""
        paths = [self._disk.approved]
        if isinstance(self._source, MetadataFile):
            paths.insert(0, self._source.path)
        stamps = tuple(_stamp(path) for path in paths)
        seen, metadata = self._seen
        if stamps != seen:
            readable = (self._readable(path) for path in paths)
            found = next((one for one in readable if one is not None), metadata)
            metadata = metadata if found == metadata else found
            self._seen = (stamps, metadata)
        return metadata

    def _readable(self, path: Path) -> UpstreamMetadata | None:
        try:
            return self._read(_octets(path))
        except (OSError, MetadataInvalid):
            return None

    def _read(self, octets: bytes) -> UpstreamMetadata:
        return read_metadata(octets, insecure_loopback=self._insecure_loopback)

    # --- for the parent process ------------------------------------------------------------------

    def refresh(self, now: datetime) -> str | None:
        """Look at the source and take over what may be; gives a line for the log, if any.

        Never raises for what an upstream or a disk does: the last good copy stays in force.
        """
        try:
            offered, problem = self._offered(now), ""
        except (FetchFailed, MetadataInvalid, OSError) as error:
            offered, problem = None, str(error)
        try:
            with self._disk.writing():
                said = None if offered is None else self._take_over(offered)
                alarm = said.alarm if said and said.alarm else problem
                self._disk.note(now, alarm)
        except OSError as error:
            return f"metadata of {self._name}: {error}; the last good copy serves on"
        if said is None:
            return f"metadata of {self._name}: {problem}; the last good copy serves on"
        if said.alarm is None and said.waiting is not None:
            return f"metadata of {self._name} changed: idp-proxy metadata diff {self._name}"
        return said.alarm

    def _offered(self, now: datetime) -> UpstreamMetadata:
        """What the source says now. Raises `FetchFailed`, `MetadataInvalid` or `OSError`."""
        source = self._source
        if isinstance(source, MetadataFile):
            return self._read(_octets(source.path))
        octets = self._fetch(source.url, self._outbound, MAX_METADATA)
        if source.trust is Trust.SIGNED:
            if source.certificate is None:
                raise MetadataInvalid("MD-01", "no certificate to hold the signature against")
            signer = key_of(source.certificate.public_bytes(Encoding.DER))
            octets = signed_octets(octets, signer)
        offered = self._read(octets)
        if offered.expired(now):
            raise MetadataInvalid("MD-01", f"expired at {offered.valid_until:%Y-%m-%d %H:%M} UTC")
        if source.trust is Trust.SIGNED and offered.valid_until is None:
            raise MetadataInvalid("MD-01", "signed metadata must carry validUntil")
        return offered

    def _take_over(self, offered: UpstreamMetadata) -> Settled:
        approved = self._readable(self._disk.approved)
        if isinstance(self._source, MetadataFile) or self._source.trust is Trust.SIGNED:
            settled = Settled(offered, None)
        else:
            settled = settle(self._name, approved, offered)
        if settled.effective is not None and settled.effective != approved:
            self._disk.replace(self._disk.approved, kept_copy(settled.effective))
        if settled.waiting is None:
            self._disk.drop_pending()
        elif self._readable(self._disk.pending) != offered:
            self._disk.replace(self._disk.pending, kept_copy(offered))
        return settled

    # --- for operators ---------------------------------------------------------------------------

    def show(self, now: datetime) -> MetadataView:
        """What counts, what waits, and when the source was looked at last."""
        source = self._source
        return MetadataView(
            upstream=self._name,
            source=str(source.path) if isinstance(source, MetadataFile) else source.url,
            warrant="file" if isinstance(source, MetadataFile) else source.trust.value,
            metadata=self._latest(),
            waiting=self.diff(now),
            checked=self._disk.checked(),
        )

    def diff(self, now: datetime) -> MetadataDiff | None:
        """What waits for approval and would not be expired; None if nothing does."""
        pending = self._readable(self._disk.pending)
        if pending is None or pending.expired(now):
            return None
        return diff(self._name, self._readable(self._disk.approved), pending)

    def approve(self, digest: str, now: datetime) -> UpstreamMetadata:
        """Put what waits into force, if `digest` is that of its diff. Raises `ApprovalRefused`."""
        try:
            return self._approve(digest, now)
        except OSError as error:
            raise ApprovalRefused(f"the approval could not be written: {error}") from error

    def demand_waiting(self, digest: str, now: datetime) -> None:
        """Raises `ApprovalRefused` unless `digest` is that of the diff that waits now."""
        waiting = self.diff(now)
        if waiting is None:
            raise ApprovalRefused(f"nothing of {self._name} waits for approval")
        if not hmac.compare_digest(waiting.digest.encode(), digest.strip().encode()):
            raise ApprovalRefused(
                f"the digest is not that of what waits now; look at it again:"
                f" idp-proxy metadata diff {self._name}"
            )

    def _approve(self, digest: str, now: datetime) -> UpstreamMetadata:
        with self._disk.writing():
            self.demand_waiting(digest, now)
            pending = self._readable(self._disk.pending)
            if pending is None:
                raise ApprovalRefused(f"nothing of {self._name} waits for approval")
            self._disk.replace(self._disk.approved, kept_copy(pending))
            self._disk.drop_pending()
        return pending


def _octets(path: Path) -> bytes:
    """The file, or as much of it as shows that it is too large. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(MAX_METADATA + 1)


def _stamp(path: Path) -> Stamp:
    """Changes when the file does; None while it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
