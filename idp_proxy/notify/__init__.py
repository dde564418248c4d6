"""Tells people: pager, mail, chat. Takes a transaction; it knows neither config nor store.

A `Notifier` is given what stands (`Notice`) and what is over; Apprise sends.
"""

from __future__ import annotations

from idp_proxy.decision.notices import DETAIL, FACTS, Kind, Notice
from idp_proxy.notify.channels import Channel, Delivery, open_channels, problems, send
from idp_proxy.notify.notifier import Notifier
from idp_proxy.notify.telling import Manner
from idp_proxy.notify.texts import Message, write

__all__ = [
    "DETAIL",
    "FACTS",
    "Channel",
    "Delivery",
    "Kind",
    "Manner",
    "Message",
    "Notice",
    "Notifier",
    "open_channels",
    "problems",
    "send",
    "write",
]
