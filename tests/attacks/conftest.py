"""One application for each configuration that the corpus needs, kept for the whole run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from idp_proxy.web import failures
from tests.attacks.attack import Policy, Registration
from tests.attacks.stage import Journal, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Stages = Callable[[Policy, Registration], Stage]


@pytest.fixture(scope="session")
def journal() -> Iterator[Journal]:
    """What any of the applications logs about refusals."""
    with pytest.MonkeyPatch.context() as patch:
        written = Journal()
        patch.setattr(failures, "_log", written)
        yield written


@pytest.fixture(scope="session")
def stages(tmp_path_factory: pytest.TempPathFactory, journal: Journal) -> Iterator[Stages]:
    """The application of a configuration, made when first asked for."""
    made: dict[tuple[Policy, Registration], Stage] = {}

    def of(policy: Policy, registration: Registration) -> Stage:
        key = (policy, registration)
        if key not in made:
            folder = tmp_path_factory.mktemp(f"{policy.value}-{registration.value}")
            made[key] = Stage(folder, journal, policy, registration)
        return made[key]

    yield of
    for stage in made.values():
        stage.close()


@pytest.fixture
def stage(tmp_path: Path, journal: Journal) -> Iterator[Stage]:
    """An application of one's own, whose state a test may change."""
    made = Stage(tmp_path, journal, Policy.ASSERTION, Registration.WITHOUT_KEYS)
    yield made
    made.close()
