"""The parent process, as far as it needs no process: where it refuses before it has begun."""

from __future__ import annotations

import pytest

from idp_proxy.config.settings import Listen
from idp_proxy.errors import ConfigError
from idp_proxy.serve import demand_address
from tests.support.launch import reserve


def test_a_second_serve_at_the_same_address_is_told_before_it_takes_part_in_anything() -> None:
    with reserve() as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as refused:
            demand_address(Listen("127.0.0.1", port))
    (problem,) = refused.value.problems
    assert f"proxy.listen: nobody can listen at 127.0.0.1:{port}: Address already in use" in problem
    assert f"ss -ltnp 'sport = :{port}'" in problem
    demand_address(Listen("127.0.0.1", port))


def test_an_address_of_another_machine_is_told_too() -> None:
    with pytest.raises(ConfigError, match="Cannot assign requested address"):
        demand_address(Listen("192.0.2.1", 8443))


def test_an_address_of_ipv6_is_tried_as_one() -> None:
    with pytest.raises(ConfigError, match="2001:db8::1:8443"):
        demand_address(Listen("2001:db8::1", 8443))
