"""tests/scenarios/README.md: the language of the scenarios, and what each of them shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.docs.markdown import NOTE, one_line, table
from tests.support.scenario import acts, conditions, reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.scenario.words import Form

SCENARIOS = Path(__file__).parents[2] / "scenarios"

_HEAD = f"""{NOTE}

# Scenarios

Each file here is the story of an outage: what happens when, and what must come of it. It is played
on the watch as `serve` runs it, with its own loops, on an event loop whose time leaps from timer to
timer: a day takes seconds, and the same story told twice is the same to the millisecond. Real are
the watch, the observer, the decisions, the alarms, the switchboard of operators and the audit; made
up are the network, the clocks, and a store in memory that all hosts share.

    .venv/bin/pytest tests/scenarios                    # all of them
    .venv/bin/pytest tests/scenarios -k hard-kill       # one; a failure prints what happened

## How one reads

```
# The active's process dies at 2:00, and nobody touches anything.
# The watch moves new logins to the standby by itself within 45 seconds, once, and tells people.
ends at 8:00

at 2:00 active fails "takes no connection"
expect by 2:45 serving standby rule serving_down because "takes no connection"
expect from 3:00 to 8:00 serving standby mode auto
expect at the end switches 1
```

It begins with two or three lines that say what it shows and why. Then comes what is so from the
beginning, then what happens, in order, with what is expected in between. A line that cannot be read
exactly is an error that names the forms it might have been. Times are `M:SS` or `H:MM:SS` from the
begin of the story; what stands in quotes after `fails`, `breaks` or `is refused` is one of the
answers in [answers.toml](answers.toml), which real probes and canaries gave.

Without being told otherwise there is one host, `proxy-1`; two upstreams, `active` and `standby`,
which answer as they should and were logged in by just now; the `default` profile; and no canary.

After **every** step of every scenario the laws are checked, whatever it expects
([laws.py](../support/scenario/laws.py)): never two changes in one epoch; the watch acts in `auto`
only, never when no host can see the serving upstream, never towards one that is not eligible, never
beyond its budget, never back before the dwell is over; a dead upstream is left at once where some
other may take over; each change of the watch stands in the audit once. An error in the log
fails the scenario too.

## What is so from the beginning

- `upstreams NAME NAME ...`, in order of preference, and `hosts NAME NAME ...`
- `failover KEY = VALUE` and `health KEY = VALUE`: a line of that section of the configuration file
"""

_EXPECT = """
## What is expected, and when

- `expect by TIME ...`: at one moment at least, after what happened last in the file and up to then
- `expect at TIME ...`, `expect at the end ...`: at that moment
- `expect from TIME to TIME ...`, `expect always ...`: all the time
- `expect never ...`: at no moment

All the conditions of a line must hold at the same moment. With several hosts a condition about what
is seen holds when any host's last turn saw it; after `on HOST` it is that host's.
"""


def scenarios_page() -> str:
    """The whole page."""
    return "\n".join(
        (
            _HEAD + _listed(reading.BEGINNINGS),
            "\n## What may happen: `at TIME ...`",
            *(f"\n**{about}**\n\n{_listed(forms)}" for about, forms in acts.GROUPS.items()),
            _EXPECT,
            _listed(conditions.FORMS),
            "\n## The scenarios\n",
            table(["scenario", "what it shows"], _told()),
            "",
        )
    )


def _listed(forms: Iterable[Form]) -> str:
    return "\n".join(f"- `{form.pattern}`" for form in forms)


def _told() -> Iterator[list[str]]:
    for path in sorted(SCENARIOS.glob("*.scenario")):
        about = reading.about(path.read_text("utf-8").splitlines())
        yield [f"[{path.stem}]({path.name})", one_line(" ".join(about))]
