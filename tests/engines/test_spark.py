"""The whole pipeline on a Spark with two workers, on machines of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from tests.engines.conftest import Site
from tests.engines.equality import differences
from tests.engines.pools import wait_until
from tests.engines.spark import SOFTWARE, SparkCluster, spark_cluster

pytestmark = [pytest.mark.engines, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def spark(site: Site) -> Iterator[SparkCluster]:
    """The cluster."""
    if not (SOFTWARE / "done").exists():
        pytest.skip("Spark is not installed: make test-engines")
    with spark_cluster(site.machines, site.logs) as cluster:
        yield cluster


def test_the_results_are_those_of_the_local_run(
    site: Site, spark: SparkCluster
) -> None:
    chain = site.chain("spark")
    outcome = chain.run(*spark.settings(site.shared))
    assert outcome.exit_code == 0, outcome.output + outcome.errors
    table = differences(site.local.workspace, chain.workspace)
    print(json.dumps(table, indent=1))
    assert not any(table.values()), table
    state = spark.state()
    print(json.dumps(state, indent=1))
    assert [worker["state"] for worker in state["workers"]] == ["ALIVE"] * 2
    jobs = state["completedapps"]
    assert len(jobs) >= 4  # ExampleGen, StatisticsGen, Transform, Evaluator
    assert {job["state"] for job in jobs} == {"FINISHED"}


def test_a_run_goes_on_when_a_machine_dies(site: Site, spark: SparkCluster) -> None:
    chain = site.chain("killed")
    lost = site.machines[-1]
    jobs = len(spark.state()["completedapps"])

    def kill_in_second_job() -> None:
        wait_until(
            lambda: len(spark.state()["completedapps"]) > jobs, "the first job", 900
        )
        wait_until(lambda: spark.state()["activeapps"], "the second job", 900)
        lost.kill()

    killer = threading.Thread(target=kill_in_second_job, daemon=True)
    killer.start()
    outcome = chain.run(*spark.settings(site.shared))
    killer.join(timeout=10)
    assert len(spark.alive()) == 1
    if outcome.exit_code:  # one clear line, and the same command goes on
        assert "Traceback" not in outcome.errors + outcome.output
        outcome = chain.run(*spark.settings(site.shared))
    assert outcome.exit_code == 0, outcome.output + outcome.errors
    table = differences(site.local.workspace, chain.workspace)
    assert not any(table.values()), table
