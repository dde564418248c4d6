"""The documentation says what is so: printed pages are current, links lead, commands exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.docs import examples, rules
from tests.support.docs.errors import errors_page
from tests.support.docs.examples import command_problem, example_problems
from tests.support.docs.links import link_problems
from tests.support.docs.markdown import Page
from tests.support.docs.pages import ROOT, printed, written

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def page(tmp_path: Path) -> Path:
    return tmp_path / "page.md"


def test_each_kind_of_error_has_a_code_of_its_own() -> None:
    codes = [line for line in errors_page().splitlines() if line.startswith("### ")]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("path", printed(), ids=lambda path: path.name)
def test_a_printed_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text("utf-8") == printed()[path], "the code changed: make docs"


def test_every_relative_link_leads_to_a_file_and_a_heading() -> None:
    assert list(link_problems(written())) == []


def test_every_documented_command_target_and_field_exists() -> None:
    assert list(example_problems(written())) == []


def test_every_page_of_docs_is_reached_from_its_map() -> None:
    index = ROOT / "docs" / "index.md"
    reached, waiting = {index}, [index]
    while waiting:
        here = waiting.pop()
        for link in Page(here).links():
            target = (here.parent / link.target.partition("#")[0]).resolve()
            if target.suffix == ".md" and target.exists() and target not in reached:
                reached.add(target)
                waiting.append(target)
    assert {path for path in written() if path.is_relative_to(ROOT / "docs")} <= reached


def test_the_first_screen_of_the_readme_holds_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text("utf-8").splitlines()[:25]
    assert "make demo ONESHOT=1" in first_screen
    assert "make test" in first_screen


def test_a_link_to_a_file_that_is_not_there_is_dead(page: Path) -> None:
    page.write_text("[away](elsewhere.md) and [the web](https://example.org/gone)")
    assert [one.rpartition(": ")[2] for one in link_problems([page])] == ["no such file"]


def test_a_link_to_a_heading_that_is_not_there_is_dead(page: Path) -> None:
    page.write_text(
        "# Here `now`\n\n# Twice\n\n# Twice\n\n[a](#here-now) [b](#twice-1) [c](#there)"
    )
    assert [one.split(": ")[1] for one in link_problems([page])] == ["#there"]


def test_a_link_inside_a_fence_is_text(page: Path) -> None:
    page.write_text("```text\n[away](elsewhere.md)\n```\n")
    assert list(link_problems([page])) == []


@pytest.mark.parametrize(
    "line",
    [
        "idp-proxy switch back",
        "$ sudo idp-proxy stats",
        "sudo -u sso-proxy /opt/idp-proxy/bin/idp-proxy status --loud",
        "idp-proxy switch to standby",
        "idp-proxy status \\\n  --loud",
        "sso-conversion convert",
        "sso-conversion door open",
        "make everything",
    ],
)
def test_a_line_that_would_not_work_is_found(page: Path, line: str) -> None:
    page.write_text(f"```sh\n{line}\n```\n")
    assert len(list(example_problems([page]))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "idp-proxy switch to standby --reason 'the active is down'",
        "sudo idp-proxy status  # who serves?",
        "idp-proxy --config /etc/idp-proxy/idp-proxy.toml status",
        "sso-conversion --config c.toml plan --locked-out --at-most 40",
        "make demo ONESHOT=1",
        "journalctl -u idp-proxy",
    ],
)
def test_a_line_that_works_is_left_alone(page: Path, line: str) -> None:
    page.write_text(f"```console\n{line}\n```\n")
    assert list(example_problems([page])) == []


@pytest.mark.parametrize(
    ("language", "line"),
    [
        ("ini", "ExecStart=/opt/idp-proxy/bin/idp-proxy roster import --nightly"),
        ("ini", "ExecStopPost=-/opt/idp-proxy/bin/idp-proxy roster forecasts"),
        ("ini", """ExecStart=/bin/sh -c 'exec /opt/bin/idp-proxy standby-logins list "$(date)"'"""),
        ("cron", "30 2 * * * root chronic idp-proxy roster imports --configured"),
        ("cron", "*/10 * * * 1-5 cd /etc/sso-conversion && sso-conversion status --notice"),
        ("cron", "@daily idp-proxy roster forecast; chronic idp-proxy audit"),
    ],
)
def test_a_timer_that_would_not_work_is_found(page: Path, language: str, line: str) -> None:
    page.write_text(f"```{language}\n{line}\n```\n")
    assert len(list(example_problems([page]))) == 1


def test_each_timer_of_the_documentation_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def noted(words: list[str]) -> None:
        seen.append(words[1:3])

    monkeypatch.setattr(examples, "command_problem", noted)
    assert list(example_problems([ROOT / "docs" / "operations" / "timers.md"])) == []
    assert seen.count(["roster", "import"]) == seen.count(["review", "--live"]) == 2
    assert seen.count(["standby-logins", "list"]) == seen.count(["prepare"]) == 2


def test_a_command_in_running_text_is_held_against_the_program(page: Path) -> None:
    page.write_text("`idp-proxy`, `idp-proxy switch to NAME`, `idp-proxy fail open`, `make it`")
    assert len(list(example_problems([page]))) == 2


def test_a_field_that_the_configuration_does_not_have_is_found(page: Path) -> None:
    page.write_text('```toml\n[proxy]\nfail_open = true\nlisten = "127.0.0.1:8443"\n```\n')
    (problem,) = example_problems([page])
    assert "proxy.fail_open: unknown field" in problem


def test_each_program_has_its_own_fields(page: Path) -> None:
    page.write_text('```toml\n[campaign]\npilot = 3\nlisten = "x"\n```\n')
    (problem,) = example_problems([page])
    assert "campaign.listen: unknown field" in problem


def test_a_group_of_commands_alone_is_no_command() -> None:
    assert command_problem(["idp-proxy", "switch"]) == "names no command"


def test_a_rule_that_nobody_explains_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "_demands", dict)
    with pytest.raises(rules.UnexplainedRule, match="SP-01"):
        rules.rules_page()
