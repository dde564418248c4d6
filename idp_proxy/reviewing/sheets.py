"""What a reviewer reads beside the findings: the policy in rows of a name and what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idp_proxy.saml.signature import SIGNATURE_METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime, timedelta

    from idp_proxy.decision.assurance import AssurancePolicy
    from idp_proxy.decision.review import CertificateSeen, ConversionSeen, Evidence, UpstreamSeen
    from idp_proxy.reviewing.report import Report

    Rows = Iterator[tuple[str, str]]


def summary(report: Report) -> Rows:
    """The policy as a whole."""
    seen, assurance = report.seen, report.assurance
    yield "We are", seen.proxy.entity_id
    kinds = ("active", *("standby" for _ in seen.standbys))
    pairs = zip(seen.upstreams, kinds, strict=False)
    yield "Order", ", ".join(f"{one.name} ({kind})" for one, kind in pairs)
    yield "Floor", _floor(assurance)
    switch = seen.switch
    back = "by itself" if switch.automatic_failback else "by a person or in a window"
    yield "Switches", f"by itself at most {switch.automatic} an hour, and back {back}"
    yield (
        "Calm before a return",
        f"{_span(switch.hold_down)} of answers, {_span(switch.dwell)} since the last switch",
    )
    yield (
        "A standby is proven by",
        f"a canary, or a login at most {_span(switch.rehearsal_max_age)} old",
    )
    yield (
        "A standby lets in",
        (
            f"who logged in at the active within {_span(seen.roster.confirmed_by_login)}, or stood "
            f"in a list within {_span(seen.roster.confirmed_by_import)}"
        ),
    )
    yield "People with roles at a standby", f"{seen.roster.privileged} named, all others refused"
    yield (
        "A session by a standby",
        f"ends after {_span(switch.standby_session)}, as Mattermost is told",
    )
    yield from _towards_mattermost(seen)
    yield from _of_people(seen)


def _floor(assurance: AssurancePolicy) -> str:
    if not assurance.levels:
        return "none declared"
    age = "" if assurance.max_age is None else f"; no older than {_span(assurance.max_age)}"
    levels = " < ".join(assurance.levels)
    return f"{assurance.floor} of {levels}, for {assurance.enforce.value}{age}"


def _towards_mattermost(seen: Evidence) -> Rows:
    proxy = seen.proxy
    asked = "must be signed" if proxy.demands_signed_requests else "may be unsigned"
    yield "Requests of Mattermost", asked
    sent = ", ".join(f"{name} = {of}" for name, of in proxy.sent.items())
    yield "Told to Mattermost", f"{sent}; {'encrypted' if proxy.encrypts else 'not encrypted'}"
    yield "Withheld at a standby", ", ".join(sorted(proxy.withheld)) or "nothing"
    yield "Our keys and certificates", _lines(map(_certificate, proxy.certificates))
    party = _lines(map(_certificate, proxy.party_certificates))
    yield "Mattermost's certificates", party or "none known"


def _of_people(seen: Evidence) -> Rows:
    path, store = seen.operators_path, seen.store
    yield (
        "The operators' own way",
        (
            "not declared"
            if path is None
            else f"{path.way}; depends on {', '.join(path.depends_on) or 'nothing declared'}; "
            f"tried {path.tested_at}"
        ),
    )
    yield (
        "Operators",
        (
            "the store was not read"
            if store is None
            else f"{store.operators}, {store.approvers} of them may approve"
        ),
    )
    told = f"{seen.proxy.channels} channels" if seen.proxy.channels else "nobody"
    yield "Told of a switch", told
    yield (
        "Audit",
        (
            "a chain with signed checkpoints in a second place"
            if seen.proxy.checkpoints
            else "a chain without checkpoints"
        ),
    )


def conversion(seen: Evidence) -> Rows:
    """How people would be moved to email and password; nothing where nobody said it."""
    found = seen.conversion
    if found is None:
        return
    yield "Configuration", found.file
    if found.problem:
        yield "Problem", found.problem
        return
    yield (
        "How people are moved",
        (
            "by a ready hash of a password that nobody knows: no mail, no ended session; the "
            "server hashes only with --plain"
        ),
    )
    yield (
        "Whom it never moves",
        ("bots, deactivated accounts, people without a known binding; administrators unless named"),
    )
    yield from _guards_of(found)
    yield (
        "Deadlines",
        (
            f"reminder after {_span(found.remind_after)}, alarm after {_span(found.deadline)}, to "
            f"{found.channels} channels; nobody is returned by a deadline"
        ),
    )
    yield (
        "Given up for good",
        ("by two operators" if found.operators else "by nobody: no operators are configured"),
    )


def _guards_of(found: ConversionSeen) -> Rows:
    yield (
        "Guards",
        (
            f"a plan asks above {found.at_most_percent:g} % of all people; a command stops at "
            f"{found.error_budget_percent:g} % that failed; the list is at most "
            f"{_span(found.inventory_max_age)} old"
        ),
    )
    mirror = "on another disk" if found.mirror_apart else "beside it"
    backups = "encrypted" if found.backups_encrypted else "not encrypted"
    points = "with" if found.checkpoints else "without"
    yield (
        "Ledger",
        f"written before each call; mirror {mirror}, backups {backups}, {points} checkpoints",
    )
    proofs = " or ".join(found.proofs) or "nothing: return refuses"
    yield "Return", f"once SSO is proven by {proofs}; {found.pilot} people ahead of the rest"
    yield "The proxy is told of them by", found.lists_converted or "no file"
    yield (
        "Token",
        {"socket": "none, local mode", "env": "in the environment"}.get(
            found.access_by, "in a file of its own"
        ),
    )


def side_by_side(report: Report) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """What each upstream is, a row a fact and a column an upstream."""
    columns = [dict(_facts(one, report)) for one in report.seen.upstreams]
    names = dict.fromkeys(name for column in columns for name in column)
    return tuple(
        (name, tuple(column.get(name, "does not apply") for column in columns)) for name in names
    )


def _facts(one: UpstreamSeen, report: Report) -> Rows:
    yield "kind", one.kind
    yield "usable now", "yes" if one.usable is None else f"no: {one.usable}"
    yield from _of_saml(one)
    if one.directory is not None:
        yield "hosts", _lines(one.directory.hosts)
        clear = one.directory.in_the_clear
        yield "encryption", f"NONE for {_lines(clear)}" if clear else "LDAPS or StartTLS"
        yield (
            "wrong passwords let through",
            (
                f"{one.directory.lockout_after - 2} a person, {one.directory.per_source} a place, "
                f"{one.directory.elsewhere} from elsewhere"
            ),
        )
    yield "certificates and keys", _lines(map(_certificate, one.certificates)) or "none"
    ours = [
        found for found in report.seen.proxy.certificates if found.what.startswith(f"{one.name}: ")
    ]
    yield "our keys there", _lines(map(_certificate, ours)) or "none"
    yield from _of_assurance(one, report.assurance)
    yield "attributes", _lines(f"{name} from {at}" for name, at in one.attributes.items())
    yield "email domains", _lines(sorted(one.email_domains)) or "any"
    yield "failure domains", _lines(sorted(one.failure_domains)) or "none declared"
    yield "canaries", str(one.canaries)
    times = [at for at in (one.proven_at, one.canary_passed_at) if at is not None]
    yield "last proven", _time(max(times)) if times else "never"


def _of_saml(one: UpstreamSeen) -> Rows:
    if one.saml is None:
        return
    saml = one.saml
    yield "entity ID", saml.entity_id or "none approved"
    yield "knows us as", saml.own_entity_id
    pinned = " with a pin" if saml.pinned else ""
    yield "metadata believed by", f"{saml.warrant}{pinned}"
    ends = _time(saml.valid_until) if saml.valid_until else "no end"
    yield "metadata counts until", ends if saml.entity_id else "none approved"
    yield "must be signed", saml.require_signed
    yield (
        "signature algorithms",
        _lines(sorted(one.rpartition("#")[2] for one in SIGNATURE_METHODS)),
    )
    encrypted = "AES-GCM" + (", AES-CBC" if saml.allow_aes_cbc else "")
    yield "encryption", f"{encrypted}, RSA-OAEP" if saml.decrypts else "none"
    yield "asked for context classes", _lines(saml.requested_contexts) or "none"
    yield "longest assertion", _span(saml.max_lifetime)
    yield "clock skew", _span(saml.clock_skew)


def _of_assurance(one: UpstreamSeen, assurance: AssurancePolicy) -> Rows:
    mapped = assurance.of(one.name)
    words = [(context, level) for context, level in mapped.contexts.items()]
    words += [(f"{found.attribute}: {found.value}", found.level) for found in mapped.evidence]
    yield "levels", _lines(f"{word} = {level}" for word, level in words) or "none declared"
    enough = [
        word for word, level in words if level in assurance.levels and assurance.reaches(level)
    ]
    yield (
        "second factor (what reaches the floor)",
        ("no floor is declared" if not assurance.levels else _lines(enough) or "NOTHING"),
    )
    floor = {True: "yes", False: "NO", None: "no floor is declared"}[one.reaches_floor]
    yield "can reach the floor", floor
    yield (
        "its people must",
        ("reach the floor" if assurance.levels and one.floor_holds else "prove nothing more"),
    )
    yield "asked to log in anew", "everybody" if mapped.force_authn else "whom Mattermost asks to"
    seen = (f"{name} ({_time(at)})" for name, at in one.contexts_seen.items())
    yield "context classes seen", _lines(seen) or "none"


def _certificate(one: CertificateSeen) -> str:
    return (
        f"{one.what}: {one.algorithm} {one.bits}, {one.signature_hash}, until {one.ends:%Y-%m-%d}"
    )


def _lines(parts: Iterable[Any]) -> str:
    return "\n".join(parts)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _span(length: timedelta) -> str:
    """A length of time in the largest unit that says it whole."""
    seconds = length.total_seconds()
    for unit, least, name in ((86400, 2, "days"), (3600, 1, "h"), (60, 1, "min")):
        if seconds >= least * unit and seconds % unit == 0:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:g} s"
