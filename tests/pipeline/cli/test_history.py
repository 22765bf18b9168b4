"""The commands that look back, on the records of a chain that really ran."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Chain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def past(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A copy of the records: other tests add runs to the workspace."""
    copy = tmp_path_factory.mktemp("past") / "workspace"
    keep = shutil.ignore_patterns("transformed_examples", "data", "serving")
    shutil.copytree(chain.workspace, copy, ignore=keep, symlinks=True)
    yield replace(chain, workspace=copy)


def answer(chain: Chain, *arguments: str) -> Any:
    outcome = chain.two_tower(*arguments, "--json")
    assert outcome.exit_code == 0, outcome.errors
    return json.loads(outcome.output)


def first_run(chain: Chain) -> str:
    run_id: str = chain.first["run_id"]
    return run_id


def test_runs_lists_what_ml_metadata_knows(past: Chain) -> None:
    [run, *_] = answer(past, "runs")["runs"]
    assert run["run"] == first_run(past)
    assert (run["state"], run["blessed"]) == ("succeeded", True)
    # The copy has no served versions.
    assert run["version"] is None
    assert run["removed_version"] == Path(past.first["pushed_model"]).name
    candidate = past.first["metrics"]["candidate"]
    assert run["ndcg@10"] == candidate["ndcg@10"]
    assert (run["steps_run"], run["steps_cached"]) == (13, 0)
    table = past.two_tower("runs").output
    assert first_run(past) in table and f"{candidate['ndcg@10']:.4f}" in table


def test_history_shows_a_run_as_it_was(past: Chain, tmp_path: Path) -> None:
    page = tmp_path / "history.html"
    [entry, *_] = answer(past, "history", "--html", str(page))["entries"]
    assert (entry["name"], entry["outcome"]) == (first_run(past), "pushed")
    assert entry["metrics"]["candidate"] == past.first["metrics"]["candidate"]
    assert entry["version"] == Path(past.first["pushed_model"]).name
    assert len(entry["steps"]) == len(past.first["steps"])
    low, high = entry["intervals"]["candidate"]["ndcg@10"]
    assert low <= past.first["metrics"]["candidate"]["ndcg@10"] <= high
    assert entry["version"] in page.read_text("utf-8")


def test_report_shows_reasons_and_the_path_of_the_page(past: Chain) -> None:
    found = answer(past, "report", first_run(past))
    assert found["report"] == past.first["report"]
    assert found["reasons"] == past.first["reasons"]
    text = past.two_tower("report", first_run(past)[:-4]).output
    assert "Blessed  yes" in text and past.first["report"] in text


def test_lineage_lists_every_step_back_to_the_data(past: Chain) -> None:
    version = Path(past.first["pushed_model"]).name
    steps = {step["step"]: step for step in answer(past, "lineage", version)["steps"]}
    assert {"MovieLensExampleGen", "SchemaImporter", "Transform", "Trainer"} <= set(
        steps
    )
    assert {"Evaluator", "ServabilityCheck", "Pusher"} <= set(steps)
    assert "ReportGen" not in steps
    data = steps["MovieLensExampleGen"]["made_of"]
    ratings = (past.data / "u.data").read_text().splitlines()
    assert data["read"] == len(ratings) and len(data["content_fingerprint"]) > 8
    assert data["spans"] and data["code_hash"]
    assert steps["Trainer"]["made_of"]["epochs"] == 20
    assert steps["Trainer"]["runs"] == [first_run(past)]
    assert Path(steps["Trainer"]["artifacts"]["model"]).is_dir()


def test_a_run_is_compared_with_itself(past: Chain) -> None:
    run = first_run(past)
    found = answer(past, "compare", run, run)
    assert found["config"] == found["data"] == []
    assert all(m["verdict"] == "" and not m["difference"] for m in found["metrics"])
    users = found["common"]["users"]
    assert found["common"] == dict.fromkeys(found["common"], users) and users > 50
    assert f"{users} users are in both" in past.two_tower("compare", run, run).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("report", "2000"), "There is no run '2000'"),
        (("compare", "1999", "latest"), "There is no run '1999'"),
        (("lineage", "5"), "pushed version '5'. Versions that were pushed: "),
    ],
)
def test_unknown_runs_and_versions_are_errors(
    past: Chain, arguments: tuple[str, ...], message: str
) -> None:
    outcome = past.two_tower(*arguments)
    assert outcome.exit_code == 2
    assert message in outcome.errors and len(outcome.errors.splitlines()) == 1


def test_a_workspace_without_a_run_says_so(past: Chain, tmp_path: Path) -> None:
    (tmp_path / "workspace.json").write_text('{"format": 1}')
    outcome = replace(past, workspace=tmp_path).two_tower("runs")
    assert outcome.exit_code == 1
    assert "No run was recorded" in outcome.errors
