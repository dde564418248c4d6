"""An `[[upstream]]` as commands and the parent process of `serve` know it, whatever its kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from idp_proxy.upstream.base import Upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from idp_proxy.upstream.metadata_feed import MetadataFeed
    from idp_proxy.upstream.probing import Probe


class ConfiguredUpstream(Upstream, Protocol):
    """What a journey may ask, and what belongs to keeping it: metadata on both sides, the probe."""

    @property
    def feed(self) -> MetadataFeed | None:
        """Where its metadata is from and what of it is approved; None for one that has none."""

    def own_metadata(self) -> bytes | None:
        """What it must know of us, published at `/upstream/NAME/metadata`; None for nothing."""

    def probe(self, new_id: Callable[[], str]) -> Probe:
        """L1: a probe of its own."""
