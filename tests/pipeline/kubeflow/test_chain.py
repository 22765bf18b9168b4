"""The whole chain by the compiled file, as a Kubeflow server would run it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from components.evaluator.retrieval_summary import RetrievalSummary, read_summary
from pipeline.config.loading import load
from tests.conftest import DAYS, SETTINGS, Chain
from tests.fixtures.kfp_backend import Backend, Ran
from tests.fixtures.lazy import lazily
from tests.fixtures.notification_servers import hook
from tests.fixtures.warm_python import WarmPython

pytestmark = pytest.mark.slow

SPAN = {"span": DAYS[-1]}


@dataclass(frozen=True)
class Cluster:
    """A server, a volume and a run that ended."""

    backend: Backend
    volume: Path
    settings: tuple[str, ...]
    text: str
    first: dict[str, Ran]

    def metrics(self) -> RetrievalSummary:
        """The metrics of the first run."""
        evaluation = self.first["Evaluator"].outputs["evaluation"]
        return read_summary(str(self.backend.stored(evaluation["uri"])))


@pytest.fixture(scope="module")
def cluster(
    chain: Chain,
    tmp_path_factory: pytest.TempPathFactory,
    python: WarmPython | None,
) -> Cluster:
    """The synthetic ratings of the local run, run to a pushed model."""
    folder = tmp_path_factory.mktemp("cluster")
    volume = folder / "volume"
    locations = (
        f"kubeflow.volumes=[{{claim: two-tower, path: {folder}}}]",
        f"kubeflow.serving_dir={volume}/serving",
        f"kubeflow.input_base={folder}/data",
        "data.dataset=data",
        "kubeflow.defaults.retries=1",
        # Else WarmStart and what depends on it would never be cached.
        "train.warm_start=never",
    )
    (folder / "data").symlink_to(chain.spans)
    settings = (*SETTINGS, *locations)
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    text = make(load((), settings), pinned_span=True).to_yaml()
    backend = Backend(folder, steps=python)
    first = backend.run(text, SPAN)
    failed = {name: ran.log for name, ran in first.items() if ran.state == "failed"}
    assert not failed, "\n".join(failed.values())
    return Cluster(backend, volume, settings, text, first)


def test_every_step_runs_to_a_pushed_model(cluster: Cluster) -> None:
    """tfx#7768: with inputs whose schemas are empty, as servers hand them on."""
    assert {ran.state for ran in cluster.first.values()} == {"done"}
    assert {ran.attempts for ran in cluster.first.values()} == {1}
    pushed = cluster.first["Pusher"].outputs["pushed_model"]["metadata"]
    model = Path(pushed["pushed_destination"])
    assert model.parent == cluster.volume / "serving"
    assert (model / "saved_model.pb").is_file()
    assert (model / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_metrics_equal_those_of_the_local_run(cluster: Cluster, chain: Chain) -> None:
    metrics = cluster.metrics()
    assert metrics["blessed"]
    assert metrics["candidate"] == pytest.approx(chain.first["metrics"]["candidate"])


def test_kubeflows_pages_show_the_report_and_the_metrics(cluster: Cluster) -> None:
    made = cluster.first["ReportGen"].outputs
    page, metrics = made["report_page"], made["headline_metrics"]
    assert page["type"]["schemaTitle"] == "system.HTML"
    assert page["uri"] == f"{made['run_report']['uri']}/report.html"
    html = cluster.backend.stored(page["uri"]).read_text()
    assert html.lstrip().lower().startswith("<!doctype html>")
    for step in set(cluster.first) - {"ReportGen"}:
        assert f"<td>{step}</td><td>done</td>" in html, "how long it took"
    assert metrics["type"]["schemaTitle"] == "system.Metrics"
    found = cluster.metrics()
    for name in ("hit_rate@10", "ndcg@10", "mrr"):
        lift = metrics["metadata"][f"{name} lift over popularity"]
        assert lift == pytest.approx(found["popularity_lift"][name])
        value = metrics["metadata"][name]
        assert value == pytest.approx(found["candidate"][name])
    assert metrics["metadata"]["blessed"] == 1.0
    stored = json.loads(cluster.backend.stored(metrics["uri"]).read_text())
    assert stored == metrics["metadata"]


def test_steps_of_another_run_are_cached_in_the_report(cluster: Cluster) -> None:
    """The report is made again, from artifacts of the first run."""
    later = replace(cluster.backend, cache={})
    ran = later.run(cluster.text, SPAN, only=("ReportGen",), before=cluster.first)
    page = ran["ReportGen"].outputs["report_page"]
    html = later.stored(page["uri"]).read_text()
    run_id = page["uri"].partition("/ReportGen/")[0].rpartition("/")[2]
    assert f"by run {run_id}" in html
    assert "<td>Trainer</td><td>cached</td>" in html
    assert "<td>done</td>" not in html


def test_the_driver_ran_and_its_results_are_in_the_artifact(cluster: Cluster) -> None:
    examples = cluster.first["MovieLensExampleGen"].outputs["examples"]
    assert len(examples["metadata"]["input_fingerprint"]) == 32
    assert json.loads(examples["metadata"]["split_names"]) == [
        "train",
        "eval",
        "corpus",
        "known",
    ]


def test_steps_with_workers_in_other_pods_make_the_same_artifacts(
    cluster: Cluster, tmp_path: Path
) -> None:
    """They work in the shared folder, and leave nothing there."""
    shared = tmp_path / "volume"
    shared.mkdir()
    text = cluster.text.replace(
        "- --pickle_library=cloudpickle",
        f"- --pickle_library=cloudpickle\n        - --temp_location={shared}",
    )
    later = replace(cluster.backend, cache={})
    ran = later.run(text, SPAN, only=("StatisticsGen",), before=cluster.first)
    made = []
    for result in (cluster.first, ran):
        uri = result["StatisticsGen"].outputs["statistics"]["uri"]
        folder = later.stored(uri)
        # Sums of floats depend on the order, and so does the last digit of a mean.
        made.append(
            {
                str(path.relative_to(folder)): path.stat().st_size
                for path in folder.rglob("*.pb")
            }
        )
    assert made[0] == made[1] != {}
    assert not list(shared.iterdir())


def test_no_artifact_names_a_path_of_a_pod(cluster: Cluster) -> None:
    outputs = json.dumps([ran.outputs for ran in cluster.first.values()])
    assert "/pods/" not in outputs
    for ran in cluster.first.values():
        for artifact in ran.outputs.values():
            assert artifact["uri"].startswith("minio://mlpipeline/")


def test_the_same_span_again_is_a_cache_hit(cluster: Cluster) -> None:
    """tfx#4273: what a run reads is decided by the span that it names."""
    again = cluster.backend.run(cluster.text, SPAN)
    # But for the steps that depend on what is live, and those after them.
    done = {step for step, ran in again.items() if ran.state == "done"}
    assert {"DataGate", "LiveModel"} <= done
    assert done <= {
        *("DataGate", "LiveModel", "Evaluator", "Pusher", "ReportGen"),
    }
    assert {ran.state for ran in again.values()} == {"cached", "done"}
    if "Evaluator" in done:
        evaluation = again["Evaluator"].outputs["evaluation"]["uri"]
        path = cluster.backend.stored(evaluation) / "retrieval_summary.json"
        reasons = json.loads(path.read_text())["reasons"]
        assert any("the candidate is itself live" in reason for reason in reasons)
    assert len(list((cluster.volume / "serving").glob("[0-9]*"))) == 1


def test_a_date_without_data_is_an_error_that_names_it(
    cluster: Cluster, tmp_path: Path, chain: Chain
) -> None:
    """tfx#4273, community#349: the previous day is never used without notice."""
    days = cluster.backend.folder / "days"
    (days / "2026-02-28").mkdir(parents=True)
    for path in chain.data.iterdir():
        (days / "2026-02-28" / path.name).symlink_to(path)
    values = {"span": "2026-03-01", "input_base": str(days)}
    only = ("MovieLensExampleGen",)
    ran = cluster.backend.run(cluster.text, values, only=only)["MovieLensExampleGen"]
    assert (ran.state, ran.attempts) == ("failed", 2)
    last = ran.log.strip().splitlines()[-1]
    assert last.startswith("MovieLensExampleGen failed: ")
    assert "2026-03-01" in last and "2026-02-28" in last


def test_ratings_in_a_bucket_are_downloaded_by_the_launcher(
    cluster: Cluster, chain: Chain
) -> None:
    """TensorFlow cannot read there; empty objects mark folders, kfp#13476."""
    backend = replace(cluster.backend, cache={})
    bucket = backend.stored("minio://lake/ml")
    shutil.copytree(chain.spans, bucket)
    (bucket / "days_$folder$").touch()
    steps = ("RatingsImporter", "MovieLensExampleGen")
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    settings = (*cluster.settings, "kubeflow.input_base=minio://lake/ml")
    text = make(load((), settings), pinned_span=True).to_yaml()
    ran = backend.run(text, SPAN, only=steps)
    assert [ran[step].state for step in steps] == ["done", "done"], ran
    found = ran["MovieLensExampleGen"].outputs["examples"]["metadata"]
    expected = cluster.first["MovieLensExampleGen"].outputs["examples"]["metadata"]
    assert found["input_fingerprint"] == expected["input_fingerprint"]
    assert found["summary"] == expected["summary"]
    again = backend.run(text, SPAN, only=steps)
    assert again["MovieLensExampleGen"].state == "cached"


def test_a_step_runs_in_a_new_process_too(cluster: Cluster) -> None:
    """As in a container: nothing has been imported before."""
    backend = Backend(cluster.backend.folder)
    only = ("SchemaImporter",)
    ran = backend.run(cluster.text, SPAN, only=only)["SchemaImporter"]
    assert ran.state == "done", ran.log


def test_messages_of_older_servers_are_understood(cluster: Cluster) -> None:
    """Before 2.15 outputs had no names, and the output file lay in /tmp."""
    old = replace(cluster.backend, shape="old", cache={})
    steps = ("ExampleValidator", "LiveModel")
    ran = old.run(cluster.text, SPAN, only=steps, before=cluster.first)
    assert {ran[step].state for step in steps} == {"done"}, ran
    # By now the candidate is itself live.
    metadata = ran["LiveModel"].outputs["model"]["metadata"]
    assert metadata["exists"] == 0.0
    assert "the candidate is itself live" in metadata["note"]
    assert cluster.first["LiveModel"].outputs["model"]["metadata"].get("note", "") == ""


def test_the_last_step_sends_what_became_of_the_model(cluster: Cluster) -> None:
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    notify = (
        "notify.webhooks=[{url_env: HOOK}]",
        "kubeflow.secrets=[{variable: HOOK, secret: notify, key: url}]",
    )
    text = make(load((), (*cluster.settings, *notify)), pinned_span=True).to_yaml()
    only = ("ReportGen", "NotifyFailure")
    with hook() as server:
        backend = replace(cluster.backend, secrets={"HOOK": server.url})
        ran = backend.run(text, SPAN, only=only, before=cluster.first)
        assert {ran[step].state for step in only} == {"done"}, ran
        (_,) = server.requests
        message = server.payload()["text"]
    pushed = cluster.first["Pusher"].outputs["pushed_model"]["metadata"]
    assert message.startswith(f"two-tower {DAYS[-1]}: a new model is live\n")
    assert f"Live now: version {pushed['pushed_version']}" in message
    recall = cluster.metrics()["candidate"]["recall@10"]
    assert f"recall@10: {recall:.4f} (popularity " in message
