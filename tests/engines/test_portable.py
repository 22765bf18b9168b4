"""The whole pipeline on Beam's embedded runner, with worker pools on other machines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from tests.engines.conftest import Site
from tests.engines.equality import differences
from tests.engines.pools import embedded_runner, start_pools, wait_until

pytestmark = [pytest.mark.engines, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def settings(site: Site) -> Iterator[list[str]]:
    """What `two-tower run` is given."""
    with embedded_runner(site.machines, site.shared) as given:
        yield given


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
    start_pools(site.machines)
    again = chain.run(*settings)
    assert again.exit_code == 0, again.output + again.errors
    assert chain.states()["MovieLensExampleGen"] == "cached"
    table = differences(site.local.workspace, chain.workspace)
    assert not any(table.values()), table
