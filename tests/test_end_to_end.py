"""The whole pipeline, from files to recommendations, as a user runs it."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.conftest import DAYS, Chain
from tests.fixtures.broken_models import save_without_evaluate

pytestmark = pytest.mark.slow

STEPS = (
    "MovieLensExampleGen",
    "SchemaImporter",
    "StatisticsGen",
    "ExampleValidator",
    "DataGate",
    "Transform",
    "WarmStart",
    "Trainer",
    "LiveModel",
    "Evaluator",
    "ServabilityCheck",
    "Pusher",
    "ReportGen",
)


def test_the_summary_has_steps_times_memory_and_metrics(chain: Chain) -> None:
    summary = chain.first
    assert {step["id"] for step in summary["steps"]} == set(STEPS)
    assert summary["state"] == "succeeded"
    assert summary["blessed"] and summary["reasons"]
    assert all(step["seconds"] >= 0 for step in summary["steps"])
    assert summary["train_seconds"] < summary["wall_seconds"]
    assert 100 < summary["peak_rss_mb"] < 3072
    for metric in ("hit_rate@10", "ndcg@10", "recall@50", "mrr"):
        assert 0 < summary["metrics"]["candidate"][metric] <= 1


def test_the_log_has_what_was_chosen_and_nothing_that_tfx_dumps(chain: Chain) -> None:
    assert "Loss: full_softmax over a corpus of 61 movies" in chain.first_log
    assert "History encoder: pool" in chain.first_log
    assert "Embedded 1 movies without ratings by attributes" in chain.first_log
    assert "INFO:absl" not in chain.first_log


def test_the_report_describes_the_run(chain: Chain) -> None:
    text = Path(chain.first["report"]).read_text("utf-8")
    version = Path(chain.first["pushed_model"]).name
    assert f"Blessed, servable and pushed as version {version}" in text
    for step in set(STEPS) - {"ReportGen"}:
        assert f"<td>{step}</td><td>done</td>" in text
    assert len(re.findall(r"<h3>User \S+", text)) == 3
    assert "held_out_popularity" in text
    assert all(html.escape(reason) in text for reason in chain.first["reasons"])


def test_planted_taste_is_found(chain: Chain) -> None:
    """Taste and sittings: ten groups of movies, each user's rated one after the other.

    A model that only learned popularity would be as good as popularity, and so is one
    without a history: .95 times (NDCG@10, two seeds). One that does not read the order,
    with nothing but the sum of all events, reaches 1.07 and the default 2.1.
    """
    metrics = chain.first["metrics"]
    for metric in ("ndcg@10", "mrr"):
        lift = metrics["candidate"][metric] / metrics["popularity"][metric]
        assert 1.8 < lift < 20, f"{metric} is {lift} times popularity"


def test_a_date_without_data_is_an_error_that_names_it(chain: Chain) -> None:
    outcome = chain.run("--set", "data.last_span=2026-03-09")
    assert outcome.exit_code == 1
    assert "2026-03-09 is missing" in outcome.errors
    assert f"Found {', '.join(DAYS)}" in outcome.errors
    assert len(outcome.errors.strip().splitlines()) <= 2, outcome.errors


def test_the_same_date_again_is_served_from_the_cache_without_a_mistaken_live_model(
    chain: Chain,
) -> None:
    """A mistake is compared with while it is live, and forgotten when it is removed."""
    mistake = chain.workspace / "serving" / "9000000000"
    save_without_evaluate(str(mistake))
    assert chain.two_tower("promote", mistake.name).exit_code == 0
    outcome = chain.run()
    assert outcome.exit_code == 1
    assert f"The live model {mistake} cannot be evaluated" in outcome.errors
    assert "Withdraw it with `two-tower rollback`" in outcome.errors
    shutil.rmtree(mistake)
    outcome = chain.run()
    assert outcome.exit_code == 0, outcome.errors
    assert set(chain.states().values()) == {"cached"}
    assert len(list((chain.workspace / "serving").glob("[0-9]*"))) == 1
    summary = chain.summary()
    assert summary["pushed_model"] == chain.first["pushed_model"]
    assert summary["metrics"]["candidate"]["mrr"] > 0


def test_a_model_that_was_taken_away_is_pushed_again_only_on_request(
    chain: Chain,
) -> None:
    version = Path(chain.first["pushed_model"]).name
    shutil.rmtree(chain.first["pushed_model"])
    assert chain.two_tower("recommend", "--user", "1").exit_code == 1
    outcome = chain.run()
    assert outcome.exit_code == 0, outcome.errors
    assert set(chain.states().values()) == {"cached"}
    assert f"version {version}, which is gone; nothing is live" in outcome.output
    assert chain.summary()["pushed_model"] is chain.summary()["live_model"] is None
    runs = json.loads(chain.two_tower("runs", "--json").output)
    assert runs["live"] is None
    assert runs["runs"][-1]["removed_version"] == version
    run_ids = []
    for _ in range(2):  # the second finds it there
        outcome = chain.run("--push-again")
        assert outcome.exit_code == 0, outcome.errors
        run_ids.append(chain.summary()["run_id"])
        # The report names the version, so it is made again too.
        done = {step for step, state in chain.states().items() if state == "done"}
        assert done == {"Pusher", "ReportGen"}
    report = Path(chain.summary()["report"]).read_text("utf-8")
    assert "<td>Pusher</td><td>done</td>" in report
    assert "<td>Trainer</td><td>cached</td>" in report
    pushed = Path(chain.summary()["pushed_model"])
    assert chain.summary()["live_model"] == str(pushed)
    assert (pushed / "saved_model.pb").is_file()
    names = [path.name for path in (chain.workspace / "serving").iterdir()]
    records = [".audit.jsonl", ".labels.json", ".lock", ".pushed", pushed.name]
    labels = ["models.canary.config", "models.config", "models.stable.config"]
    assert sorted(names) == [*records, *labels]
    [model] = json.loads(chain.two_tower("models", "--json").output)["models"]
    assert (model["version"], model["state"]) == (pushed.name, "live")
    assert model["blessed"] and model["metrics"]["ndcg@10"] > 0
    assert model["run_id"] == run_ids[0] and model["size"] > 0
    # An unchanged run knows that its model is served, under the other version.
    assert chain.run().exit_code == 0
    assert set(chain.states().values()) == {"cached"}
    assert chain.summary()["pushed_model"] == str(pushed)


WORSE = ("--set", "train.epochs=1", "--set", "train.learning_rate=1e-6")


def test_a_worse_model_is_not_pushed(chain: Chain) -> None:
    """The live model is the baseline, and only the steps after the change run again."""
    outcome = chain.run(*WORSE)
    assert outcome.exit_code == 0, outcome.output + outcome.errors
    summary = chain.summary()
    states = chain.states()
    assert states["Transform"] == "cached"
    assert states["Trainer"] == states["Evaluator"] == "done"
    assert not summary["blessed"]
    assert (
        summary["metrics"]["baseline"]["mrr"] > summary["metrics"]["candidate"]["mrr"]
    )
    assert any("live" in reason for reason in summary["reasons"])
    assert summary["pushed_model"] is None
    assert len(list((chain.workspace / "serving").glob("[0-9]*"))) == 1


def test_nothing_is_trained_on_data_that_the_gate_refuses(chain: Chain) -> None:
    outcome = chain.run("--set", "data.min_rows={train: 100000}")
    assert outcome.exit_code == 1
    assert "DataGate" in outcome.errors and "100,000" in outcome.errors
    assert len(outcome.errors.strip().splitlines()) <= 2, outcome.errors
    states = chain.states()
    assert states["DataGate"] == "failed"
    assert states["Transform"] == states["Trainer"] == states["Pusher"] == "waiting"
    assert chain.summary()["state"] == "failed"


def test_ratings_unlike_the_live_models_stop_the_run(
    chain: Chain, tmp_path: Path
) -> None:
    flattered = shutil.copytree(chain.data, tmp_path / "data")
    rows = [row.split("\t") for row in (flattered / "u.data").read_text().splitlines()]
    text = "".join(f"{user}\t{movie}\t5\t{at}\n" for user, movie, _, at in rows)
    (flattered / "u.data").write_text(text)
    outcome = chain.run(data=flattered)
    assert outcome.exit_code == 1
    [version] = (chain.workspace / "serving").glob("[0-9]*")
    assert re.match(
        r"DataGate failed: .* train: ratings must be distributed as in the live "
        rf"version {version.name}, with a divergence of at most 0\.1, found [01]\.\d+ "
        r"\([\d,]+ values\)\. .*--set data\.max_drift\.ratings=null",
        outcome.errors,
    ), outcome.errors
    states = chain.states()
    assert states["Transform"] == states["Trainer"] == states["Pusher"] == "waiting"


def test_a_broken_rating_stops_the_run_and_is_named(
    chain: Chain, tmp_path: Path
) -> None:
    broken = shutil.copytree(chain.data, tmp_path / "broken")
    lines = (broken / "u.data").read_text().splitlines()
    fields = lines[6].split("\t")
    lines[6] = "\t".join([*fields[:2], "99", fields[3]])
    (broken / "u.data").write_text("\n".join(lines) + "\n")
    outcome = chain.run(data=broken)
    assert outcome.exit_code == 1
    assert re.search(r"u\.data.*\b7\b.*99", outcome.errors), outcome.errors
    assert chain.states()["Trainer"] == "waiting"


def test_what_was_cleaned_is_made_again_and_nothing_else(chain: Chain) -> None:
    """The run of the served model is kept; the steps of the worse model are not."""
    assert chain.run().exit_code == 0
    cleaned = chain.two_tower("clean", "--keep", "1", "--yes", "--json")
    assert cleaned.exit_code == 0, cleaned.errors
    folders = [Path(folder) for folder in json.loads(cleaned.output)["folders"]]
    assert folders and not any(folder.exists() for folder in folders)
    outcome = chain.run()
    assert outcome.exit_code == 0, outcome.errors
    assert set(chain.states().values()) == {"cached"}
    outcome = chain.run(*WORSE)
    assert outcome.exit_code == 0, outcome.errors
    states = chain.states()
    assert states["StatisticsGen"] == states["Transform"] == "cached"
    assert states["Trainer"] == states["Evaluator"] == "done"
    states_of_runs = {
        run["state"]
        for run in json.loads(chain.two_tower("runs", "--json").output)["runs"]
    }
    assert states_of_runs == {"cleaned", "failed", "succeeded"}
