"""`review`: the findings as a table, JSON, SARIF or a page to sign."""

from __future__ import annotations

import enum
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from idp_proxy.cli.review.looking import PACKAGE, report_of
from idp_proxy.cli.session import (
    EXIT_REFUSED,
    ConfigOption,
    command_line,
    opened_store,
    screen,
    settings_of,
    shown_next,
    tell,
    warn,
)
from idp_proxy.errors import ConfigError
from idp_proxy.reviewing.report import as_json
from idp_proxy.store import reviews

if TYPE_CHECKING:
    from idp_proxy.config import Settings
    from idp_proxy.decision.review import Signed
    from idp_proxy.reviewing.report import Report


class Form(enum.StrEnum):
    """How the review is told."""

    TABLE = "table"
    JSON = "json"
    SARIF = "sarif"
    HTML = "html"


def review(
    context: typer.Context,
    form: Annotated[Form, typer.Option("--format", help="How it is told.")] = Form.TABLE,
    live: Annotated[
        bool, typer.Option("--live", help="Ask every upstream now, and compare the clocks.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it there.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="SIGNED", help="What is not as it was signed under this id."
        ),
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Judge the policy by every rule that can be judged. Exits with 1 on a blocking finding."""
    if context.invoked_subcommand is not None:
        return
    settings = settings_of(config)
    report = report_of(settings, live=live)
    if since is not None:
        report = replace(report, signed=_signed(settings, since))
    if form is Form.TABLE and output is None:
        _show(report)
        warn(settings)
    else:
        _write(_text(report, form), output)
    blocking = report.review.blocking
    said = shown_next(*_following(report))
    if form is Form.TABLE and output is None:
        typer.echo(said)
    else:
        tell(said)
    if blocking:
        raise typer.Exit(EXIT_REFUSED)


def _signed(settings: Settings, wanted: str) -> Signed:
    with opened_store(settings) as store, store.reading() as connection:
        found = reviews.signed_as(connection, wanted, settings.proxy.state_keys)
    if found is None:
        raise ConfigError([f"--since: nothing was signed as {wanted!r}"])
    return found


def _harmless(word: str) -> str:
    """An upstream's own word, as one line that does nothing to a terminal."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in word)


def _told(value: str | None) -> str:
    return "not there" if value is None else repr(value)


def _following(report: Report) -> tuple[str, ...]:
    if report.review.blocking:
        return ("review", "--format", "html", "--output", "review.html")
    if report.signed is None or report.changes:
        return ("review", "sign", "--digest", report.policy.digest, "--name", "YOUR NAME")
    return ("review", "--live")


def _text(report: Report, form: Form) -> str:
    if form is Form.HTML:
        # Jinja's import is for this form alone.
        from idp_proxy.reviewing.html import as_html  # noqa: PLC0415 - see above

        return as_html(report)
    if form is Form.SARIF:
        from idp_proxy.reviewing.sarif import as_sarif  # noqa: PLC0415 - as above

        return json.dumps(as_sarif(report, dict(report.versions)[PACKAGE]), indent=2)
    document = as_json(report) | {"next": command_line(*_following(report))}
    return json.dumps(document, indent=2)


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text)
        return
    try:
        Path(output).write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise ConfigError([f"--output: {output}: {error.strerror}"]) from error
    tell(f"written: {output}")


def _show(report: Report) -> None:
    review = report.review
    if review.findings:
        table = Table("rule", "severity", "about", "what was seen, and what to do")
        for one in review.findings:
            table.add_row(
                one.rule,
                f"{one.severity.value}, BLOCKS" if one.blocking else one.severity.value,
                one.subject or one.about.value,
                f"{_harmless(one.evidence)}\n-> {one.fix}",
                end_section=True,
            )
        screen.print(table)
    for one, waiver in review.waived:
        typer.echo(
            f"waived:  {one.rule} {one.subject or one.about.value} by {', '.join(waiver.people)} "
            f"until {waiver.ends_at:%Y-%m-%d}: {waiver.reason}"
        )
    for upstream in report.seen.upstreams:
        for context, at in upstream.contexts_seen.items():
            word = _harmless(context)
            typer.echo(f"seen:    {upstream.name} gave {word}, last {at:%Y-%m-%d %H:%M} UTC")
    if report.signed is not None:
        signed = report.signed
        altered = "" if signed.genuine else "; ALTERED in the store, it binds nobody"
        typer.echo(
            f"signed:  {signed.id} by {signed.name} on {signed.at:%Y-%m-%d %H:%M} UTC{altered}"
        )
    for change in report.changes:
        typer.echo(f"changed: {change.path}: {_told(change.before)} -> {_told(change.after)}")
    typer.echo(f"digest:  {report.policy.digest}")
    typer.echo(f"{len(review.findings)} findings, {len(review.blocking)} of them blocking")
