"""The whole pipeline on Beam's embedded runner, with worker pools on other machines."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence

import pytest

from tests.engines.conftest import Site
from tests.engines.equality import differences
from tests.engines.machines import one_address
from tests.engines.spark import POOL_PORT, start_pool, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def settings(site: Site) -> Iterator[list[str]]:
    """What `two-tower run` is given; each step's workers are on the next machine."""
    for machine in site.machines:
        start_pool(machine)
    for machine in site.machines:
        address = (machine.address, POOL_PORT)
        wait_until(lambda to=address: _answers(to), "a worker pool")
    with one_address(POOL_PORT, site.machines) as pools:
        yield [
            "--engine=portable",
            *("--set", "engine.master=embed"),
            *("--set", f"engine.environment_config={pools}"),
            *("--set", f"engine.shared_dir={site.shared / 'beam'}"),
        ]


def _answers(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, timeout=5):
        return True


def test_the_results_are_those_of_the_local_run(
    site: Site, settings: Sequence[str]
) -> None:
    chain = site.chain("portable")
    outcome = chain.run(*settings)
    assert outcome.exit_code == 0, outcome.output + outcome.errors
    table = differences(site.local.workspace, chain.workspace)
    print(json.dumps(table, indent=1))
    assert not any(table.values()), table


def test_a_killed_machine_ends_the_step_and_the_same_command_goes_on(
    site: Site, settings: Sequence[str]
) -> None:
    chain = site.chain("killed")
    statistics = chain.workspace / "artifacts" / "StatisticsGen"

    def kill_workers() -> None:
        wait_until(statistics.exists, "StatisticsGen", 900)
        for machine in site.machines:
            machine.kill()

    killer = threading.Thread(target=kill_workers, daemon=True)
    killer.start()
    outcome = chain.run(*settings)
    killer.join(timeout=10)
    assert outcome.exit_code != 0
    assert "Traceback" not in outcome.errors + outcome.output
    for machine in site.machines:
        start_pool(machine)
        address = (machine.address, POOL_PORT)
        wait_until(lambda to=address: _answers(to), "a worker pool")
    again = chain.run(*settings)
    assert again.exit_code == 0, again.output + again.errors
    assert chain.states()["MovieLensExampleGen"] == "cached"
    table = differences(site.local.workspace, chain.workspace)
    assert not any(table.values()), table
