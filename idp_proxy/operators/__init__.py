"""Operators: who they are, how they prove it, what two of them agree on. Takes connections.

Whoever asks them what they consent to finds here the rules by which that is judged, too.
"""

from __future__ import annotations

from idp_proxy.decision.approval import Act, Granted, Person, Role, Waits
from idp_proxy.decision.proposal import Proposal
from idp_proxy.operators.accounts import Operator, key_ring
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.passwords import Passwords
from idp_proxy.operators.refusals import ApprovalRefused, OperatorInvalid, OperatorRefused
from idp_proxy.operators.sign_in import Credential, SignIn

__all__ = [
    "Act",
    "ApprovalRefused",
    "Credential",
    "Granted",
    "Operator",
    "OperatorInvalid",
    "OperatorRefused",
    "Passwords",
    "Person",
    "Proposal",
    "Role",
    "SignIn",
    "Waits",
    "Wish",
    "key_ring",
]
