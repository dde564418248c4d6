from __future__ import annotations

import os
import stat
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from lxml import etree

from idp_proxy.config import MetadataFile, MetadataUrl, Outbound, Trust
from idp_proxy.errors import UpstreamUnavailable
from idp_proxy.saml.metadata import MAX_METADATA, UpstreamMetadata, read_metadata
from idp_proxy.saml.xml import parse
from idp_proxy.upstream import last_good
from idp_proxy.upstream.fetch import FetchFailed
from idp_proxy.upstream.metadata_change import diff
from idp_proxy.upstream.metadata_feed import ApprovalRefused, MetadataFeed
from tests.support import xml_security
from tests.support.keys import KeyPair, rsa_pair
from tests.support.upstream_metadata import (
    SSO_URL,
    upstream_metadata,
)

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
A, B, C = (rsa_pair(name) for name in ("feed-a", "feed-b", "feed-c"))
URL = "https://active.example.org/metadata"


def said(*pairs: KeyPair, **changes: Any) -> UpstreamMetadata:
    return read_metadata(upstream_metadata(*pairs, **changes))


def keys(metadata: UpstreamMetadata | None) -> tuple[bytes, ...]:
    assert metadata is not None
    assert len(metadata.keys) == len(metadata.signing_certificates)
    return metadata.signing_certificates


def ders(*pairs: KeyPair) -> tuple[bytes, ...]:
    return tuple(pair.certificate_der for pair in pairs)


# --- the feed: from a file -----------------------------------------------------------------------


def from_file(path: Path) -> MetadataFeed:
    return MetadataFeed("okta", MetadataFile(path), path.parent / "metadata")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "okta.xml"
    path.write_bytes(upstream_metadata(A))
    return path


def test_a_file_is_its_own_approval_even_before_any_refresh(source: Path) -> None:
    feed = from_file(source)
    assert keys(feed.current(NOW)) == ders(A)
    assert feed.current(NOW) is feed.current(NOW)


def test_a_changed_file_counts_at_once(source: Path) -> None:
    feed = from_file(source)
    feed.current(NOW)
    source.write_bytes(upstream_metadata(A, B))
    assert keys(feed.current(NOW)) == ders(A, B)
    assert feed.refresh(NOW) is None
    assert feed.diff(NOW) is None


def test_the_same_content_written_again_stays_the_same_object(source: Path) -> None:
    feed = from_file(source)
    before = feed.current(NOW)
    source.write_bytes(upstream_metadata(A) + b"\n")
    assert feed.current(NOW) is before


@pytest.mark.parametrize("bad", [b"", b"<html/>", upstream_metadata(), None])
def test_a_broken_or_missing_file_leaves_the_last_good_copy_in_force(
    source: Path, bad: bytes | None
) -> None:
    feed = from_file(source)
    assert feed.refresh(NOW) is None
    if bad is None:
        source.unlink()
    else:
        source.write_bytes(bad)
    assert keys(feed.current(NOW)) == ders(A)
    report = feed.refresh(NOW + HOUR)
    assert report is not None
    assert "the last good copy serves on" in report
    assert keys(from_file(source).current(NOW)) == ders(A), "another process reads it from disk"
    checked = feed.show(NOW).checked
    assert checked is not None
    assert (checked.at, bool(checked.problem)) == (NOW + HOUR, True)


def test_a_broken_file_without_any_copy_keeps_what_this_process_has(source: Path) -> None:
    feed = from_file(source)
    feed.current(NOW)
    source.write_bytes(b"<a")
    assert keys(feed.current(NOW)) == ders(A)


def test_without_any_metadata_logins_are_refused_and_nothing_else(tmp_path: Path) -> None:
    feed = from_file(tmp_path / "missing.xml")
    with pytest.raises(UpstreamUnavailable, match="idp-proxy metadata show okta"):
        feed.current(NOW)
    report = feed.refresh(NOW)
    assert report is not None
    assert "missing.xml" in report


def test_metadata_counts_until_its_end_and_not_a_moment_longer(source: Path) -> None:
    source.write_bytes(upstream_metadata(A, attributes='validUntil="2026-05-04T13:00:00Z"'))
    feed = from_file(source)
    assert feed.current(NOW + HOUR - timedelta(microseconds=1))
    with pytest.raises(UpstreamUnavailable, match="expired at 2026-05-04 13:00 UTC"):
        feed.current(NOW + HOUR)


def test_show_tells_where_it_comes_from(source: Path) -> None:
    feed = from_file(source)
    before = feed.show(NOW)
    assert (before.source, before.warrant, before.checked) == (str(source), "file", None)
    feed.refresh(NOW)
    checked = feed.show(NOW).checked
    assert checked is not None
    assert (checked.at, checked.problem) == (NOW, "")


def test_a_record_of_the_last_look_that_cannot_be_read_is_none(source: Path) -> None:
    feed = from_file(source)
    feed.refresh(NOW)
    (source.parent / "metadata" / "okta.state.json").write_text("[]")
    assert feed.show(NOW).checked is None


# --- the feed: from an address -------------------------------------------------------------------


class Peer:
    """A web server in one variable; an exception is raised instead of an answer."""

    def __init__(self, answer: bytes | Exception = b"") -> None:
        self.answer = answer

    def __call__(self, url: str, outbound: Outbound, limit: int) -> bytes:
        assert (url, outbound, limit) == (URL, Outbound(), MAX_METADATA)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def peer() -> Peer:
    return Peer(upstream_metadata(A))


def by_tls(folder: Path, peer: Peer) -> MetadataFeed:
    return MetadataFeed("okta", MetadataUrl(URL, Trust.TLS), folder, fetch=peer)


def approved(folder: Path, peer: Peer) -> MetadataFeed:
    feed = by_tls(folder, peer)
    feed.refresh(NOW)
    waiting = feed.diff(NOW)
    assert waiting is not None
    feed.approve(waiting.digest, NOW)
    return feed


def test_first_use_waits_for_approval_and_then_counts(tmp_path: Path, peer: Peer) -> None:
    feed = by_tls(tmp_path, peer)
    report = feed.refresh(NOW)
    assert report is not None
    assert report.endswith("idp-proxy metadata diff okta")
    with pytest.raises(UpstreamUnavailable):
        feed.current(NOW)
    view = feed.show(NOW)
    assert (view.metadata, view.source, view.warrant) == (None, URL, "tls")
    assert view.waiting is not None
    assert keys(feed.approve(view.waiting.digest, NOW)) == ders(A)
    assert keys(feed.current(NOW)) == ders(A)
    assert feed.diff(NOW) is None
    assert feed.refresh(NOW) is None


def test_an_approval_takes_only_the_diff_that_was_shown(tmp_path: Path, peer: Peer) -> None:
    feed = approved(tmp_path, peer)
    peer.answer = upstream_metadata(A, B)
    feed.refresh(NOW)
    shown = feed.diff(NOW)
    assert shown is not None
    peer.answer = upstream_metadata(A, C)
    feed.refresh(NOW)
    for digest in (shown.digest, "", "sha256:", "sha256:" + "0" * 64, "\u00e4"):
        with pytest.raises(ApprovalRefused, match="metadata diff okta"):
            feed.approve(digest, NOW)
    assert keys(feed.current(NOW)) == ders(A)
    now_shown = feed.diff(NOW)
    assert now_shown is not None
    feed.approve(f" {now_shown.digest}\n", NOW)
    assert keys(feed.current(NOW)) == ders(A, C)
    with pytest.raises(ApprovalRefused, match="nothing of okta waits"):
        feed.approve(now_shown.digest, NOW)


def test_a_removed_key_drops_for_every_process_at_once(tmp_path: Path, peer: Peer) -> None:
    peer.answer = upstream_metadata(A, B)
    feed, worker = approved(tmp_path, peer), by_tls(tmp_path, peer)
    assert keys(worker.current(NOW)) == ders(A, B)
    peer.answer = upstream_metadata(B)
    assert feed.refresh(NOW) is None
    assert keys(worker.current(NOW)) == ders(B)


def test_when_every_approved_key_vanishes_nothing_drops_and_it_is_told(
    tmp_path: Path, peer: Peer
) -> None:
    feed = approved(tmp_path, peer)
    peer.answer = upstream_metadata(B)
    report = feed.refresh(NOW)
    assert report is not None
    assert "none of its approved signing keys" in report
    assert keys(feed.current(NOW)) == ders(A)
    checked = feed.show(NOW).checked
    assert checked is not None
    assert checked.problem == report


def test_what_is_no_longer_offered_no_longer_waits(tmp_path: Path, peer: Peer) -> None:
    feed = approved(tmp_path, peer)
    peer.answer = upstream_metadata(A, B)
    feed.refresh(NOW)
    peer.answer = upstream_metadata(A)
    feed.refresh(NOW)
    assert feed.diff(NOW) is None
    assert not (tmp_path / "okta.pending.xml").exists()


@pytest.mark.parametrize(
    "answer",
    [
        FetchFailed("no route"),
        b"<html>502</html>",
        upstream_metadata(A, attributes='validUntil="2026-05-04T12:00:00Z"'),
        upstream_metadata(A).replace(b"https://active.example.org/sso", b"http://active/sso"),
        b"<!DOCTYPE a><a/>",
    ],
)
def test_a_dead_or_broken_upstream_leaves_the_last_good_copy(
    tmp_path: Path, peer: Peer, answer: bytes | Exception
) -> None:
    feed = approved(tmp_path, peer)
    peer.answer = answer
    report = feed.refresh(NOW)
    assert report is not None
    assert "the last good copy serves on" in report
    assert keys(by_tls(tmp_path, peer).current(NOW)) == ders(A)
    assert feed.diff(NOW) is None


def test_pending_metadata_that_expired_cannot_be_approved(tmp_path: Path, peer: Peer) -> None:
    peer.answer = upstream_metadata(A, attributes='validUntil="2026-05-04T12:30:00Z"')
    feed = by_tls(tmp_path, peer)
    feed.refresh(NOW)
    waiting = feed.diff(NOW)
    assert waiting is not None
    assert feed.diff(NOW + HOUR) is None
    with pytest.raises(ApprovalRefused):
        feed.approve(waiting.digest, NOW + HOUR)


def test_a_tampered_copy_on_disk_is_no_metadata(tmp_path: Path, peer: Peer) -> None:
    approved(tmp_path, peer)
    (tmp_path / "okta.xml").write_bytes(b"<a/>")
    with pytest.raises(UpstreamUnavailable):
        by_tls(tmp_path, peer).current(NOW)


# --- signed --------------------------------------------------------------------------------------


FEDERATION = rsa_pair("feed-federation")
IN_A_DAY = 'ID="_m1" validUntil="2026-05-05T12:00:00Z"'


def signed_by(pair: KeyPair, *pairs: KeyPair, attributes: str = IN_A_DAY) -> bytes:
    root = parse(upstream_metadata(*pairs, attributes=attributes))
    xml_security.sign(root, pair, index=0)
    return etree.tostring(root)


def by_signature(folder: Path, peer: Peer, pair: KeyPair | None = FEDERATION) -> MetadataFeed:
    certificate = pair.certificate if pair else None
    source = MetadataUrl(URL, Trust.SIGNED, certificate)
    return MetadataFeed("okta", source, folder, fetch=peer)


def test_signed_metadata_counts_without_a_person(tmp_path: Path, peer: Peer) -> None:
    feed = by_signature(tmp_path, peer)
    for pairs in ((A,), (A, B), (C,)):
        peer.answer = signed_by(FEDERATION, *pairs)
        assert feed.refresh(NOW) is None
        assert keys(feed.current(NOW)) == ders(*pairs)
    assert feed.show(NOW).warrant == "signed"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (upstream_metadata(B, attributes=IN_A_DAY), "not signed"),
        (signed_by(A, B), "pinned"),
        (signed_by(FEDERATION, A).replace(SSO_URL.encode(), b"https://evil.org/"), "digest"),
        (signed_by(FEDERATION, B, attributes='ID="_m1"'), "validUntil"),
        (
            signed_by(FEDERATION, B, attributes='ID="_m1" validUntil="2026-05-04T12:00:00Z"'),
            "expired",
        ),
    ],
)
def test_metadata_that_is_not_signed_or_not_for_now_is_refused(
    tmp_path: Path, peer: Peer, answer: bytes, reason: str
) -> None:
    peer.answer = signed_by(FEDERATION, A)
    feed = by_signature(tmp_path, peer)
    feed.refresh(NOW)
    peer.answer = answer
    report = feed.refresh(NOW)
    assert report is not None
    assert reason in report
    assert keys(feed.current(NOW)) == ders(A)


def test_signed_trust_without_a_certificate_believes_nothing(tmp_path: Path, peer: Peer) -> None:
    peer.answer = signed_by(FEDERATION, A)
    report = by_signature(tmp_path, peer, None).refresh(NOW)
    assert report is not None
    assert "no certificate" in report


# --- the disk ------------------------------------------------------------------------------------


def test_what_is_kept_belongs_to_the_proxy_alone(tmp_path: Path, peer: Peer) -> None:
    folder = tmp_path / "metadata"
    feed = approved(folder, peer)
    peer.answer = upstream_metadata(A, B)
    feed.refresh(NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes) == {"okta.xml", "okta.pending.xml", "okta.state.json", "okta.lock"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("root", [True, False])
def test_what_root_writes_belongs_to_the_service(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch, *, root: bool
) -> None:
    """Else an approval by root would leave a copy that the service cannot read at its start."""
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(os, "chown", lambda _, user, group: given.append((user, group)))
    approved(tmp_path / "metadata", peer)
    owner = tmp_path.stat()
    assert set(given) == ({(owner.st_uid, owner.st_gid)} if root else set())
    assert len(given) >= (6 if root else 0)


@pytest.mark.parametrize("broken", ["fsync", "rename"])
def test_a_full_disk_leaves_the_copy_before_whole(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    feed = approved(tmp_path, peer)
    before = (tmp_path / "okta.xml").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target: Any = os if broken == "fsync" else type(tmp_path)
    monkeypatch.setattr(target, broken, full)
    peer.answer = upstream_metadata(A, attributes='validUntil="2026-05-05T00:00:00Z"')
    report = feed.refresh(NOW)
    assert report is not None
    assert "No space left" in report
    waiting = diff("okta", said(A), said(A, B))
    assert waiting is not None
    (tmp_path / "okta.pending.xml").write_bytes(upstream_metadata(A, B))
    with pytest.raises(ApprovalRefused, match="No space left"):
        feed.approve(waiting.digest, NOW)
    monkeypatch.undo()
    assert (tmp_path / "okta.xml").read_bytes() == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".okta")]
    assert keys(by_tls(tmp_path, peer).current(NOW)) == ders(A)


def test_a_refresh_waits_while_somebody_approves(tmp_path: Path, peer: Peer) -> None:
    """Two writers: the approval is not lost under a refresh that began before it."""
    feed = by_tls(tmp_path, peer)
    feed.refresh(NOW)
    waiting = feed.diff(NOW)
    assert waiting is not None
    other = threading.Thread(target=by_tls(tmp_path, peer).refresh, args=(NOW,))
    with last_good.LastGood(tmp_path, "okta").writing():
        other.start()
        time.sleep(0.05)
        assert other.is_alive()
        assert feed.diff(NOW) == waiting
    other.join(5)
    feed.approve(waiting.digest, NOW)
    by_tls(tmp_path, peer).refresh(NOW)
    assert keys(feed.current(NOW)) == ders(A)
