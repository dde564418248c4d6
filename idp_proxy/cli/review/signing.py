"""`review sign`, `review waive` and `review confirm`: what people answer for by name."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated

import typer

from idp_proxy.audit.chain import Event
from idp_proxy.audit.log import AuditLog
from idp_proxy.cli import terminal
from idp_proxy.cli.approving import (
    OverrideOption,
    Waiting,
    confirm,
    leave_open,
    new_id,
    request,
)
from idp_proxy.cli.review.looking import report_in
from idp_proxy.cli.session import (
    ConfigOption,
    ReasonOption,
    clock,
    opened_store,
    settings_of,
    shown_next,
)
from idp_proxy.cli.signing_in import AsOption, Means, PasswordOption, who
from idp_proxy.decision.approval import Act, Role
from idp_proxy.decision.review import Signed, Waiver, end_problem, why_never
from idp_proxy.errors import ConfigError
from idp_proxy.operators import accounts
from idp_proxy.operators.consent import Wish
from idp_proxy.operators.refusals import ApprovalRefused
from idp_proxy.store import reviews

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from idp_proxy.cli.approving import Approved
    from idp_proxy.config import Settings
    from idp_proxy.decision.approval import Person
    from idp_proxy.decision.proposal import Proposal
    from idp_proxy.reviewing.report import Report

#: Who signs a policy, once there are operators.
_SIGNERS = frozenset({Role.SECURITY, Role.APPROVER})
#: A signature that somebody altered blocks, and signing anew is the way out of it.
_CURED_BY_SIGNING = "fo_14_as_it_was_kept"


def sign(
    digest: Annotated[str, typer.Option(metavar="D", help="The digest on the page that you read.")],
    name: Annotated[str, typer.Option("--name", help="Your name, as it stands under the page.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Bind your name and this moment to the policy that you read. It must be the one that runs."""
    settings = settings_of(config)
    name = terminal.one_line(name, "--name")
    with opened_store(settings) as store:
        report = report_in(settings, store)
        _demand_signable(report, digest.strip())
        person = who(settings, store, Means(as_name, None, password_from))
        now = clock()
        signed = Signed(new_id(), name, now, report.policy, len(report.review.findings))
        facts = {"digest": report.policy.digest, "signature": signed.id, "name": name}
        event = Event(reviews.SIGNED, _signer(person), now, facts=facts)
        with store.writing() as connection:
            if accounts.exist(connection) and (person.by_host or not person.roles & _SIGNERS):
                raise ApprovalRefused(
                    "a policy is signed by an operator with role security or approver (--as NAME)"
                )
            reviews.keep_signed(connection, signed, settings.proxy.state_keys)
            AuditLog(settings.proxy.host).append(connection, event)
    typer.echo(f"signed as {signed.id} by {name}: {report.policy.digest}")
    typer.echo(shown_next("review", "--since", signed.id))


def _demand_signable(report: Report, digest: str) -> None:
    if digest != report.policy.digest:
        raise ApprovalRefused(
            f"the policy that runs is {report.policy.digest}, another one than you read; nothing "
            "was signed"
        )
    blocking = [one for one in report.review.blocking if one.check != _CURED_BY_SIGNING]
    if blocking:
        rules = ", ".join(dict.fromkeys(one.rule for one in blocking))
        raise ApprovalRefused(f"blocking findings are open ({rules}); nothing was signed")


def _signer(person: Person) -> str:
    return person.name if person.by_host else accounts.actor_of(person.name)


def waive(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule, as SP-08.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="Its last day, as 2026-12-31.")],
    reason: ReasonOption,
    upstream: Annotated[str, typer.Option(help="The upstream that the finding is about.")] = "",
    as_name: AsOption = None,
    override: OverrideOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Take a finding on yourselves until a day: it takes two people. Nobody waives what lets people
    in below the floor, by a bad signature, or with open keys of ours.
    """
    settings = settings_of(config)
    ends_at = _end_of(until)
    with opened_store(settings) as store:
        checks = _waivable(report_in(settings, store), rule, upstream)
        target = " ".join((rule, upstream or "-", until, *checks))
        wish, means = Wish(Act.WAIVER, target, reason), Means(as_name, override, password_from)

        def keep(connection: Connection, approved: Approved) -> None:
            _keep(connection, settings, target, reason, approved)

        outcome = request(settings, store, wish, means, effect=keep)
        if isinstance(outcome, Waiting):
            leave_open(settings, outcome, "review", "confirm")
    typer.echo(f"{rule} is waived until {ends_at:%Y-%m-%d %H:%M} UTC")
    typer.echo(shown_next("review"))


def agree(
    proposal_id: Annotated[str, typer.Argument(metavar="ID", help="The proposal.")],
    as_name: AsOption = None,
    password_from: PasswordOption = None,
    config: ConfigOption = None,
) -> None:
    """Agree to a waiver that somebody else asked for."""
    settings = settings_of(config)

    def keep(connection: Connection, made: Proposal, approved: Approved) -> None:
        rule, upstream, until, *checks = made.target.split(" ")
        _end_of(until)
        if set(checks) != set(_waivable(report, rule, "" if upstream == "-" else upstream)):
            raise ApprovalRefused(
                f"{rule} finds other things now than when this was asked for: read idp-proxy "
                "review, and ask again"
            )
        _keep(connection, settings, made.target, made.reason, approved)

    with opened_store(settings) as store:
        report = report_in(settings, store)
        means = Means(as_name, None, password_from)
        made, _ = confirm(settings, store, proposal_id, means, {Act.WAIVER}, keep)
    typer.echo(f"waived: {made.target}")
    typer.echo(shown_next("review"))


def _end_of(until: str) -> datetime:
    """The end of that day in UTC. Raises `ConfigError`."""
    try:
        day = date.fromisoformat(until)
    except ValueError:
        raise ConfigError([f"--until: not a date: {until!r}; it has the form 2026-12-31"]) from None
    ends_at = datetime.combine(day, time.max, UTC)
    if (problem := end_problem(ends_at, clock())) is not None:
        raise ConfigError([f"--until: {until} {problem}"])
    return ends_at


def _waivable(report: Report, rule: str, upstream: str) -> tuple[str, ...]:
    """The checks whose findings are meant: those that are open now, and no later ones. Raises
    `ApprovalRefused` unless there is such a finding, and people may waive it.
    """
    found = [one for one in report.review.findings if (one.rule, one.subject) == (rule, upstream)]
    if not found:
        about = f" about {upstream}" if upstream else ""
        raise ApprovalRefused(f"there is no open finding {rule}{about}: see idp-proxy review")
    for one in found:
        if (never := why_never(one)) is not None:
            raise ApprovalRefused(never)
    return tuple(sorted({one.check for one in found}))


def _keep(
    connection: Connection,
    settings: Settings,
    target: str,
    reason: str,
    approved: Approved,
) -> None:
    """The waiver and its audit row, in the transaction that grants it."""
    rule, upstream, until, *checks = target.split(" ")
    now = clock()
    subject = "" if upstream == "-" else upstream
    waiver = Waiver(
        id=new_id(),
        rule=rule,
        subject=subject,
        checks=tuple(checks),
        people=approved.people,
        reason=reason,
        given_at=now,
        ends_at=_end_of(until),
    )
    reviews.keep_waiver(connection, waiver, settings.proxy.state_keys)
    facts = {"rule": rule, "upstream": subject, "until": until, "reason": reason}
    facts["checks"] = " ".join(checks)
    event = Event("review_waived", approved.actor, now, facts=facts)
    AuditLog(settings.proxy.host).append(connection, event)
