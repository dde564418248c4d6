"""Written off: two operators, the very same people, once. Everything else leaves them open."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pyotp import TOTP
from sqlalchemy import create_engine, inspect

from conversion.campaign import Manner
from conversion.campaign import convert as carry_out
from conversion.config import OperatorsSettings, load
from conversion.consent import Desk
from conversion.converted_file import ConvertedFile
from conversion.errors import ConsentRefused, LedgerConflict, LedgerError
from conversion.homecoming import return_people
from conversion.inventory import prepare
from conversion.ledger.opening import open_ledger
from conversion.reconciliation import reconcile
from conversion.writing_off import Subjects, subjects, write_off
from idp_proxy.audit.log import rows as audit_rows
from idp_proxy.audit.log import verify_log
from idp_proxy.decision.approval import Role
from idp_proxy.operators import Act, Credential, Proposal, Wish, accounts, overrides
from idp_proxy.operators.overrides import Override, OverrideState
from idp_proxy.store.database import Database
from tests.support.conversion_stage import Stage
from tests.unit.conversion_night import Night, convert, night, planned
from tests.unit.operators_desk import CHEAP, LOG, PASSWORD, SECRET
from tests.unit.pager import Pager, running_pager

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["night"]

NOW = datetime(2026, 3, 3, 3, 0, 10, tzinfo=UTC)
KEY = bytes(range(100, 132))
STEP = timedelta(seconds=30)
PEOPLE = {
    "ann": (Role.OPERATOR,),
    "bob": (Role.APPROVER,),
    "cat": (Role.APPROVER,),
    "sec": (Role.SECURITY,),
}


@dataclass
class Proxy:
    """The proxy's database with operators; `enter` signs one in, each time with a later code."""

    url: str
    desk: Desk = field(init=False)
    _step: int = 0

    def __post_init__(self) -> None:
        self.desk = Desk(OperatorsSettings(self.url, (KEY,)), "ops-1")

    def add(self, *names: str, at: datetime = NOW) -> None:
        early = at - timedelta(hours=1)
        ring = accounts.key_ring([KEY])
        database = Database(self.url)
        for name in names:
            new = accounts.enrol(
                name,
                PEOPLE[name],
                PASSWORD,
                SECRET,
                TOTP(SECRET).at(early),
                passwords=CHEAP,
                ring=ring,
                now=early,
            )
            with database.writing() as connection:
                accounts.add(connection, new, by="host:root", now=early, record=LOG.append)
        database.close()

    def enter(self, name: str, password: str = PASSWORD) -> str:
        self._step += 1
        at = NOW + self._step * STEP
        return self.desk.sign_in(Credential(name, password, TOTP(SECRET).at(at)), at)


@pytest.fixture
def proxy(
    tmp_path: Path, empty_database: bytes, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Proxy]:
    # Else each first sign-in would hash again, at full cost.
    monkeypatch.setattr("conversion.consent.Passwords", lambda: CHEAP)
    file = tmp_path / "store.db"
    file.touch(mode=0o600)
    file.write_bytes(empty_database)
    it = Proxy(f"sqlite:///{file}")
    yield it
    it.desk.close()


@pytest.fixture
def pager() -> Iterator[Pager]:
    yield from running_pager()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Stage(tmp_path) as opened:
        opened.convert("user000001", "user000002", "user000003")
        yield opened


def of(stage: Stage, *names: str) -> Subjects:
    return subjects(stage.ledger, [stage.user(name).id for name in names])


def proposed(proxy: Proxy, given_up: Subjects, by: str = "ann") -> str:
    wish = Wish(Act.WRITTEN_OFF, given_up.target, "left the company")
    made = proxy.desk.ask(proxy.enter(by), wish, "p1", NOW)
    assert isinstance(made, Proposal)
    return made.id


def test_two_operators_write_off_exactly_whom_both_named(stage: Stage, proxy: Proxy) -> None:
    proxy.add("ann", "bob")
    given_up = of(stage, "user000001", "user000002")
    proposal = proposed(proxy, given_up)
    agreed = proxy.desk.agree(proxy.enter("bob"), proposal, Act.WRITTEN_OFF, given_up.target, NOW)
    assert agreed.actor == "operator:ann (confirmed by operator:bob)"
    assert write_off(stage.ledger, given_up, agreed.actor, agreed.reason, stage.now()) == ()
    rows = list(stage.ledger.rows(given_up.campaign))
    assert sorted(row.state.value for row in rows) == ["converted", "written_off", "written_off"]
    assert [row.note for row in rows if row.state.value == "written_off"] == [
        "left the company"
    ] * 2
    assert stage.ledger.verify_audit().ok
    database = Database(proxy.url)
    with database.reading() as connection:
        assert verify_log(connection).ok
        kinds = [row.kind for row in audit_rows(connection)]
    database.close()
    assert {"proposed", "proposal_confirmed"} <= set(kinds)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        ("the proposer agrees", "ann"),
        ("somebody without a say", "may not begin"),
        ("other people", "name the same people"),
        ("too late", "expired"),
        ("twice", "confirmed already"),
        ("unknown", "there is no proposal"),
    ],
)
def test_nobody_is_written_off_by_one_by_others_late_or_twice(
    stage: Stage, proxy: Proxy, attack: str, said: str
) -> None:
    proxy.add("ann", "bob", "sec")
    given_up, others = of(stage, "user000001"), of(stage, "user000002")
    if attack == "somebody without a say":
        with pytest.raises(ConsentRefused, match=said):
            proposed(proxy, given_up, "sec")
        return
    proposal = proposed(proxy, given_up)
    who = proxy.enter("ann" if attack == "the proposer agrees" else "bob")
    target = others.target if attack == "other people" else given_up.target
    at = NOW + timedelta(minutes=11) if attack == "too late" else NOW
    if attack == "twice":
        proxy.desk.agree(who, proposal, Act.WRITTEN_OFF, target, at)
    with pytest.raises(ConsentRefused, match=said):
        proxy.desk.agree(
            who, "p9" if attack == "unknown" else proposal, Act.WRITTEN_OFF, target, at
        )


def test_before_there_are_operators_nobody_is_written_off(stage: Stage, proxy: Proxy) -> None:
    wish = Wish(Act.WRITTEN_OFF, of(stage, "user000001").target, "because")
    with pytest.raises(ConsentRefused, match="there are no operators yet"):
        proxy.desk.ask("host:root", wish, "p1", NOW)


def test_the_hosts_root_cannot_begin_it_alone(stage: Stage, proxy: Proxy) -> None:
    proxy.add("ann", "bob")
    wish = Wish(Act.WRITTEN_OFF, of(stage, "user000001").target, "because")
    with pytest.raises(ConsentRefused, match="credential"):
        proxy.desk.ask("host:root", wish, "p1", NOW)


def test_a_wrong_password_and_an_unknown_name_are_refused_alike(proxy: Proxy) -> None:
    proxy.add("ann")
    said = []
    for name, password in (("ann", "wrong password 1"), ("nobody", PASSWORD), ("bob", "x")):
        with pytest.raises(ConsentRefused) as refused:
            proxy.enter(name, password)
        said.append(refused.value.detail)
    assert len(set(said)) == 1


@pytest.mark.parametrize("state", ["returned", "verified", "planned", "nobody"])
def test_only_who_is_at_a_password_or_in_trouble_can_be_given_up(stage: Stage, state: str) -> None:
    if state == "nobody":
        with pytest.raises(LedgerConflict, match="no such person"):
            subjects(stage.ledger, ["x" * 26])
        return
    campaign = of(stage, "user000001").campaign
    with stage.ledger.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE person SET state = '{state}'")
    with pytest.raises(LedgerConflict, match=f"is {state}, which cannot be written off"):
        of(stage, "user000001")
    assert campaign


def test_a_row_that_changed_meanwhile_stays(stage: Stage) -> None:
    given_up = of(stage, "user000001")
    write_off(stage.ledger, of(stage, "user000001"), "a", "r", stage.now())
    lost = write_off(stage.ledger, given_up, "a", "r", stage.now())
    assert [row.user_id for row in lost] == [stage.user("user000001").id]


def test_who_was_given_up_is_no_business_of_later_campaigns_until_back_on_sso(
    stage: Stage, tmp_path: Path
) -> None:
    gone = stage.user("user000001").id
    stage.bulk = replace(stage.bulk, converted=ConvertedFile(tmp_path / "converted", bytes(32)))
    write_off(stage.ledger, of(stage, "user000001"), "ann and bob", "left", stage.now())
    assert return_people(stage.bulk, stage.orders()).closed
    # As cron does it, and as the next night brings it.
    learnt = prepare(stage.client, stage.ledger, (), stage.now())
    assert learnt.left_sso == ()
    stage.convert("user000002")
    assert len((tmp_path / "converted").read_text().split()) == 2
    assert reconcile(stage.bulk).adopted == ()
    told = return_people(stage.bulk, stage.orders())
    assert (told.closed, told.strays) == (True, ())
    assert stage.server.users[gone].auth_service == ""
    assert len((tmp_path / "converted").read_text().split()) == 1
    # Somebody brought them back after all: from the next prepare on they are like anybody else.
    stage.server.put_auth(gone, "saml", stage.before[gone])
    stage.sleep(60)
    prepare(stage.client, stage.ledger, (), stage.now())
    stage.convert("user000002")
    assert len((tmp_path / "converted").read_text().split()) == 1
    stage.server.put_password(gone, "$2a$10$x")
    assert reconcile(stage.bulk).adopted == (gone,)
    assert return_people(stage.bulk, stage.orders()).closed
    assert stage.bindings() == stage.before
    assert (tmp_path / "converted").read_text() == ""


def test_without_a_campaign_there_is_nobody_to_write_off(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "e.db", tmp_path / "e.mirror", host="h")
    with pytest.raises(LedgerError, match="no campaign is open"):
        subjects(ledger, ["x" * 26])
    ledger.close()


def test_the_target_names_nobody_and_does_not_depend_on_the_order(stage: Stage) -> None:
    one = of(stage, "user000001", "user000002")
    assert one.target == of(stage, "user000002", "user000001", "user000001").target
    assert one.target != of(stage, "user000001", "user000003").target
    assert not any(row.user_id in one.target for row in one.rows)


@pytest.mark.parametrize(
    "url", ["sqlite:////nowhere/else/store.db", "nonsense", "sqlite:///", "oracle://u:s3cr3t@h/d"]
)
def test_a_database_that_is_not_the_proxys_is_told_without_its_secret(url: str) -> None:
    with pytest.raises(ConsentRefused, match=r"operators\.url") as refused:
        Desk(OperatorsSettings(url, (KEY,)), "ops-1").sign_in(Credential("ann", "p", "1"), NOW)
    assert "s3cr3t" not in refused.value.detail


# On the command line


def configured(night: Night, proxy: Proxy, more: str = "") -> None:
    (night.folder / "url").write_text(proxy.url)
    (night.folder / "state.key").write_bytes(KEY)
    for name in ("url", "state.key"):
        (night.folder / name).chmod(0o600)
    config = night.folder / "c.toml"
    config.write_text(
        config.read_text()
        + '[operators]\nurl = "file:url"\nstate_keys = ["file:state.key"]\n'
        + more
    )


def code(monkeypatch: pytest.MonkeyPatch, steps: int = 0) -> None:
    at = datetime.now(UTC) + steps * STEP
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TOTP(SECRET).at(at)}\n"))
    monkeypatch.setenv("OPERATOR_PASSWORD", PASSWORD)


def test_the_campaign_ends_without_whoever_two_operators_gave_up(
    night: Night, proxy: Proxy, pager: Pager, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.add("ann", "bob", at=datetime.now(UTC))
    (night.folder / "pager.url").write_text(pager.json_url)
    (night.folder / "pager.url").chmod(0o600)
    night.run("prepare")
    convert(night, "--user", "user000001", "--user", "user000002")
    configured(night, proxy, '[notify]\nurls = ["file:pager.url"]\n')
    words = ("--as", "ann", "--password-from", "env:OPERATOR_PASSWORD")
    code(monkeypatch)
    assert night.run("write-off", night.person(1), "--reason", "left the company", *words) == 3
    assert "nothing has changed" in night.out
    assert PASSWORD not in night.out + night.err
    proposal = night.next()[night.next().index("--confirm") + 1]
    assert night.server.users[night.person(1)].auth_service == ""

    agreeing = ("--confirm", proposal, "--as", "bob", "--password-from", "env:OPERATOR_PASSWORD")
    code(monkeypatch)
    assert night.run("write-off", "user000001", *agreeing) == 0, night.err
    assert "1 people are written off, by operator:ann (confirmed by operator:bob)" in night.out
    assert len(pager.messages) == 1

    night.server.give_session("o" * 26, is_saml=True)
    assert night.run("return", "--no-wait-for-login", "a test") == 0, night.out + night.err
    assert night.run("report") == 0
    assert "2 moved, 1 back, 0 left, 1 given up" in night.out
    assert "user000001: written_off: left the company; owner: operator:ann" in night.out
    # Who was given up cannot use the proxy: its list still says so.
    assert len((night.folder / "converted.txt").read_text().split()) == 1


def test_the_first_plan_of_a_campaign_takes_two_and_a_later_one_takes_one(
    night: Night, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.add("ann", "bob", "cat", at=datetime.now(UTC))
    configured(night, proxy)
    night.run("prepare")
    reference = ("--password-from", "env:OPERATOR_PASSWORD")
    digest = planned(night, "--user", "user000001")
    words = ("convert", "--plan", digest, "--yes", *reference)
    code(monkeypatch)
    assert night.run(*words, "--as", "ann") == 3
    assert "nothing has changed: another operator must agree to plan" in night.out
    proposal = night.next()[night.next().index("--confirm") + 1]
    assert night.on_saml() == 10

    # What was agreed for one plan is not agreed for another one.
    other = planned(night, "--user", "user000002")
    code(monkeypatch)
    assert night.run("convert", "--plan", other, "--yes", "--confirm", proposal, "--as", "bob",
                     *reference) == 1  # fmt: skip
    assert "is about plan" in night.err
    code(monkeypatch, steps=1)
    assert night.run(*words, "--confirm", proposal, "--as", "bob") == 0, night.err
    assert night.on_saml() == 9

    code(monkeypatch, steps=1)
    assert night.run("convert", "--plan", other, "--yes", "--as", "ann", *reference) == 0, night.err
    assert night.on_saml() == 8


def test_with_one_approver_a_campaign_is_opened_by_one_operator(
    night: Night, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.add("ann", "bob", at=datetime.now(UTC))
    configured(night, proxy)
    night.run("prepare")
    words = ("convert", "--plan", planned(night, "--user", "user000001"), "--yes", "--as", "ann")
    code(monkeypatch)
    assert night.run(*words, "--password-from", "env:OPERATOR_PASSWORD") == 0, night.err
    assert night.on_saml() == 9


@pytest.mark.parametrize("opened", [True, False])
def test_what_was_agreed_for_one_campaign_moves_nobody_in_another(
    tmp_path: Path, opened: bool
) -> None:
    """It ended, or somebody else opened one, while the second operator was being asked."""
    with Stage(tmp_path) as stage:
        agreed = "" if opened else "20260303-030000-aaaaaaaa"
        if opened:
            stage.convert("user000001")
        before = stage.bindings()
        digest = stage.plan("user000002")
        with pytest.raises(ConsentRefused, match="is open" if opened else "none is open"):
            carry_out(stage.bulk, digest, manner=Manner(campaign=agreed))
        assert stage.bindings() == before
        assert opened == (stage.ledger.current_campaign() is not None)


def test_without_operators_yet_the_hosts_user_converts_alone(night: Night, proxy: Proxy) -> None:
    configured(night, proxy)
    night.run("prepare")
    convert(night, "--user", "user000001")
    assert night.on_saml() == 9


def test_once_there_are_operators_a_user_of_the_host_signs_in(
    night: Night, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.add("ann", "bob", "cat", at=datetime.now(UTC))
    configured(night, proxy)
    night.run("prepare")
    digest = planned(night, "--user", "user000001")
    for uid, said in ((1000, "sign in as an operator"), (0, "without an operator's credential")):
        monkeypatch.setattr("os.getuid", lambda uid=uid: uid)
        assert night.run("convert", "--plan", digest, "--yes") == 1
        assert said in night.err
    assert night.on_saml() == 10


def test_alone_at_night_an_override_counts_down_and_everybody_is_told(
    night: Night, proxy: Proxy, pager: Pager, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.add("ann", "bob", "cat", at=datetime.now(UTC))
    (night.folder / "pager.url").write_text(pager.json_url)
    (night.folder / "pager.url").chmod(0o600)
    configured(night, proxy, '[notify]\nurls = ["file:pager.url"]\n')
    night.run("prepare")
    digest = planned(night, "--user", "user000001")
    waited: list[float] = []
    monkeypatch.setattr("conversion.cli.agreeing.pause", waited.append)
    words = ("convert", "--plan", digest, "--yes", "--as", "ann", "--override", "nobody answers",
             "--password-from", "env:OPERATOR_PASSWORD")  # fmt: skip
    code(monkeypatch)
    assert night.run(*words) == 0, night.err
    assert sum(waited) == 60
    assert len(pager.messages) == 1
    assert "nobody answers" in pager.bodies[0]
    assert "OVERRIDE" in night.err
    assert night.on_saml() == 9
    (used,) = overrides_of(proxy)
    assert (used.state, used.people) == (OverrideState.OPEN, ("ann",))


@pytest.mark.parametrize("how", ["ctrl-c", "disabled meanwhile"])
def test_an_override_that_is_stopped_or_loses_its_person_moves_nobody(
    night: Night, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    proxy.add("ann", "bob", "cat", at=datetime.now(UTC))
    configured(night, proxy)
    night.run("prepare")
    digest = planned(night, "--user", "user000001")

    def stepped_in(_seconds: float) -> None:
        if how == "ctrl-c":
            raise KeyboardInterrupt
        if not gone:
            gone.append("ann")
            database = Database(proxy.url)
            now = datetime.now(UTC)
            with database.writing() as connection:
                accounts.disable(connection, "ann", "why", by="bob", now=now, record=LOG.append)
            database.close()

    gone: list[str] = []
    monkeypatch.setattr("conversion.cli.agreeing.pause", stepped_in)
    code(monkeypatch)
    assert night.run("convert", "--plan", digest, "--yes", "--as", "ann", "--override", "alone",
                     "--password-from", "env:OPERATOR_PASSWORD") == 1  # fmt: skip
    assert night.on_saml() == 10
    (used,) = overrides_of(proxy)
    assert used.state is OverrideState.STOPPED


def overrides_of(proxy: Proxy) -> tuple[Override, ...]:
    database = Database(proxy.url)
    with database.reading() as connection:
        found = overrides.everything(connection)
    database.close()
    return found


def test_nobody_can_sign_in_where_no_operators_are_configured(night: Night) -> None:
    night.run("prepare")
    digest = planned(night, "--user", "user000001")
    assert night.run("convert", "--plan", digest, "--yes", "--as", "ann") == 2
    assert "operators.url: missing" in night.err


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("--reason", "r", "--confirm", "p"), 2, "one of the two"),
        ((), 2, "one of the two"),
        (("--reason", "two\nlines"), 2, "one line"),
        (("--reason", "r"), 1, "was not answered"),
    ],
)
def test_a_half_said_write_off_changes_nothing(
    night: Night,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    exit_code: int,
    said: str,
) -> None:
    proxy.add("ann", "bob", "cat", at=datetime.now(UTC))
    night.run("prepare")
    convert(night, "--user", "user000001")
    configured(night, proxy)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    monkeypatch.setenv("OPERATOR_PASSWORD", PASSWORD)
    reference = ("--password-from", "env:OPERATOR_PASSWORD")
    assert night.run("write-off", night.person(1), "--as", "ann", *reference, *words) == exit_code
    assert said in night.err


def test_without_operators_in_the_configuration_the_field_is_named(night: Night) -> None:
    assert night.run("write-off", night.person(1), "--as", "ann", "--reason", "r") == 2
    assert "operators.url: missing" in night.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('url = "file:url"\n', "operators.state_keys: missing"),
        ('state_keys = ["file:state.key"]\n', "operators.url: missing"),
        ('url = "sqlite:///x"\nstate_keys = ["file:state.key"]\n', "a secret may not stand"),
        ('url = "file:url"\nstate_keys = ["file:url"]\n', "[proxy] state_keys"),
    ],
)
def test_half_a_configuration_of_operators_is_refused(
    night: Night, proxy: Proxy, text: str, said: str
) -> None:
    configured(night, proxy)
    config = night.folder / "c.toml"
    config.write_text(config.read_text().partition("[operators]")[0] + "[operators]\n" + text)
    assert night.run("status") == 2
    assert said in night.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense-s3cr3t", "no database URL"),
        ("sqlite:///store.db", "with its whole path"),
        ("oracle://u:s3cr3t@h/d", "with its whole path"),
        ("postgresql://u:s3cr3t@db.corp.test/proxy", "another machine: add ?sslmode=verify-full"),
    ],
)
def test_a_url_by_which_somebody_else_could_agree_is_refused(
    night: Night, proxy: Proxy, url: str, said: str
) -> None:
    configured(night, proxy)
    (night.folder / "url").write_text(url)
    assert night.run("status") == 2
    assert said in night.err
    assert "s3cr3t" not in night.err


def test_the_proxys_own_url_is_good_here_too(night: Night, proxy: Proxy) -> None:
    configured(night, proxy)
    (night.folder / "url").write_text("postgresql://u:w@localhost/proxy")
    settings = load(night.folder / "c.toml")
    assert settings.operators is not None
    assert settings.operators.url == "postgresql+psycopg://u:w@localhost/proxy"


def test_the_tables_of_operators_are_where_this_tool_looks_for_them(proxy: Proxy) -> None:
    engine = create_engine(proxy.url)
    assert {"operator", "proposal", "sign_in_attempt"} <= set(inspect(engine).get_table_names())
    engine.dispose()
