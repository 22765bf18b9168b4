"""Notifications on Kubeflow: in the compiled file, and by the steps themselves."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.loading import load
from pipeline.kubeflow import exit_step, step_settings
from pipeline.kubeflow.compiled import CompiledPipeline, check_vertex
from pipeline.kubeflow.exit_step import (
    EXIT_STEP,
    LAST_STEP,
    STEPS,
    NotifySettings,
)
from pipeline.kubeflow.run_outcome import failed_steps, of_result
from pipeline.kubeflow.validation import check
from pipeline.retraining.outcome import Outcome, Status
from tests.fixtures.kfp_backend import Backend, Ran
from tests.fixtures.kfp_server import State, serving
from tests.fixtures.lazy import lazily
from tests.fixtures.notification_servers import Hook, hang, hook, tcp
from tests.pipeline.kubeflow.conftest import SETTINGS
from tests.pipeline.kubeflow.test_validation import documents
from trainer.errors import UsageError

NOTIFY = (
    "notify.webhooks=[{url_env: HOOK, timeout_seconds: 2}]",
    "kubeflow.secrets=[{variable: HOOK, secret: notify, key: url}, "
    "{variable: STORE_KEY, secret: store, key: key}]",
    "kubeflow.ui_url=https://kubeflow.example.com/pipeline",
)
CREATED = "2026-03-02T03:00:00Z"
RUN = {"span": "yesterday"}


def small(*assignments: str) -> CompiledPipeline:
    """Two steps with notifications, as `compile_pipeline` adds them."""
    config = load((), (*NOTIFY, *assignments))
    spec, _ = documents()
    tasks = spec["root"]["dag"]["tasks"]
    tasks[LAST_STEP] = tasks.pop("use")
    parameter = {"parameterType": "STRING", "defaultValue": "latest"}
    spec["root"]["inputDefinitions"]["parameters"]["span"] = parameter
    pipeline = CompiledPipeline(spec)
    settings = exit_step.with_small_step(config.kubeflow)
    exit_step.declare(pipeline, config)
    step_settings.set_container_options(pipeline, settings)
    step_settings.set_task_options(pipeline, settings, [EXIT_STEP])
    hidden = {"HOOK": (LAST_STEP, EXIT_STEP)}
    platform = step_settings.platform_document(pipeline, settings, hidden)
    pipeline.platform.update(platform)
    exit_step.enclose(pipeline)
    return pipeline


def test_all_steps_are_in_the_graph_for_which_the_exit_task_waits() -> None:
    pipeline = small()
    assert check(pipeline.to_yaml()).problems == []
    root = pipeline.spec["root"]["dag"]["tasks"]
    assert sorted(root) == [EXIT_STEP, STEPS]
    assert root[EXIT_STEP]["dependentTasks"] == [STEPS]
    assert root[EXIT_STEP]["triggerPolicy"] == {
        "strategy": "ALL_UPSTREAM_TASKS_COMPLETED"
    }
    inner = pipeline.components[f"comp-{STEPS}"]
    assert sorted(inner["dag"]["tasks"]) == [LAST_STEP, "make"]
    assert sorted(inner["inputDefinitions"]["parameters"]) == ["n", "span"]
    assert sorted(pipeline.steps()) == [EXIT_STEP, LAST_STEP, "make"]


def test_only_the_steps_that_send_get_the_secrets_of_channels() -> None:
    pipeline = small()
    executors = pipeline.platform["platforms"]["kubernetes"]["deploymentSpec"][
        "executors"
    ]
    names = {
        label: [secret["secretName"] for secret in settings["secretAsEnv"]]
        for label, settings in executors.items()
    }
    assert names == {
        "exec-make": ["store"],
        "exec-use": ["notify", "store"],
        f"exec-{EXIT_STEP}": ["notify", "store"],
    }


Break = Callable[[dict[str, Any], dict[str, Any]], Any]
BREAKS: list[tuple[str, Break]] = [
    (
        "does not wait for exactly one other task",
        lambda root, inner: root[EXIT_STEP].update(dependentTasks=[]),
    ),
    (
        "does not wait for 'steps'",
        lambda root, inner: root[EXIT_STEP].update(dependentTasks=["other"]),
    ),
    ("without another task", lambda root, inner: root.pop(STEPS)),
    (
        "reads an output",
        lambda root, inner: root[EXIT_STEP]["inputs"].update(
            artifacts={"x": {"taskOutputArtifact": {"producerTask": STEPS}}}
        ),
    ),
    ("task of two graphs", lambda root, inner: root.update(make=inner["make"])),
    (
        "ReportGen does not wait for make",
        lambda root, inner: inner[LAST_STEP].pop("dependentTasks"),
    ),
    (
        "make.n: no pipeline parameter m",
        lambda root, inner: inner["make"]["inputs"]["parameters"].update(
            n={"componentInputParameter": "m"}
        ),
    ),
]


@pytest.mark.parametrize(("problem", "change"), BREAKS, ids=[b[0] for b in BREAKS])
def test_a_graph_that_would_not_run_is_refused(problem: str, change: Break) -> None:
    pipeline = copy.deepcopy(small())
    root = pipeline.spec["root"]["dag"]["tasks"]
    change(root, pipeline.components[f"comp-{STEPS}"]["dag"]["tasks"])
    assert problem in "; ".join(check(pipeline.to_yaml()).problems)


def test_a_variable_that_no_step_would_have_is_refused() -> None:
    config = load((), ["notify.webhooks=[{url_env: HOOK}]"])
    with pytest.raises(UsageError, match=r"HOOK, which no step.*kubeflow.secrets"):
        exit_step.check_variables(config)
    exit_step.check_variables(load((), NOTIFY))


def test_vertex_has_no_secrets_for_channels() -> None:
    folders = (
        "kubeflow.pipeline_root=gs://b/r",
        "kubeflow.input_base=gs://b/i",
        "kubeflow.serving_dir=gs://b/s",
        "kubeflow.volumes=[]",
        "notify.commands=[{argv: [cat]}]",
    )
    with pytest.raises(UsageError, match=r"notify\.commands is set"):
        check_vertex(load((), folders))


def exit_log(
    tmp_path: Path, before: dict[str, Ran], url: str, server: str = "http://127.0.0.1:9"
) -> str:
    """Runs the exit task, after steps that ended so; returns its log."""
    environment = f"kubeflow.env={{TWO_TOWER_KFP_ENDPOINT: '{server}'}}"
    backend = Backend(tmp_path, created=CREATED, secrets={"HOOK": url})
    text = small(environment).to_yaml()
    ran = backend.run(text, RUN, only=(EXIT_STEP,), before=before)[EXIT_STEP]
    assert ran.state == "done", ran.log
    return ran.log


def text_of(server: Hook) -> str:
    return str(server.payload()["text"])


def test_the_exit_task_names_what_it_can_know(tmp_path: Path) -> None:
    """Without the server's API: a step failed, on which day, and where to look."""
    with hook() as server:
        exit_log(tmp_path, {"make": Ran("failed")}, server.url)
        text = text_of(server)
    assert text.startswith("two-tower 2026-03-01: the retraining FAILED\n")
    assert "which step failed is not known: the server did not answer" in text
    assert "Next: open https://kubeflow.example.com/pipeline/#/runs/details/" in text
    assert "Started: 2026-03-02T03:00:00+00:00 by Kubeflow" in text


def test_the_exit_task_asks_the_server_which_step_failed(tmp_path: Path) -> None:
    failed = {"state": "FAILED", "error": {"message": "rating 99 is not on the scale"}}
    tasks = [
        {"display_name": "steps", "state": "FAILED", "end_time": "3"},
        {"display_name": "Trainer", "state": "OMITTED"},
        {"display_name": "DataGate", "end_time": "2", **failed},
        {"display_name": "MovieLensExampleGen", "state": "SUCCEEDED"},
    ]

    class AnyRun(dict[str, Any]):
        """The run, whatever its id is."""

        def __contains__(self, _: object) -> bool:
            return True

        def __missing__(self, _: str) -> Any:
            return {"run_details": {"task_details": tasks}}

    with hook() as server, serving(State(runs=AnyRun())) as api:
        exit_log(tmp_path, {"make": Ran("failed")}, server.url, api)
        text = text_of(server)
    assert text.startswith("two-tower 2026-03-01: the data was refused in DataGate\n")
    assert "- DataGate: rating 99 is not on the scale" in text


def test_the_exit_task_is_silent_if_no_step_failed(tmp_path: Path) -> None:
    with hook() as server:
        log = exit_log(tmp_path, {"make": Ran("done")}, server.url)
        assert server.requests == []
    assert "No step failed" in log


def test_a_failed_notification_does_not_fail_the_exit_task(tmp_path: Path) -> None:
    with tcp(hang) as port:
        url = f"http://127.0.0.1:{port}/s3cretpath"
        log = exit_log(tmp_path, {"make": Ran("failed")}, url)
    assert "notify.webhooks.0: no answer in time" in log
    assert "Not delivered: two-tower 2026-03-01: the retraining FAILED" in log
    assert "s3cretpath" not in log


def test_steps_that_failed_are_found_in_the_order_of_their_ends() -> None:
    details = [
        {"display_name": "Pusher", "state": "FAILED", "end_time": "2"},
        {"display_name": "Trainer-driver", "state": "FAILED", "end_time": "1"},
        {"display_name": "executor", "state": "FAILED"},
        {"display_name": "two-tower-x7", "state": "FAILED"},
        {"display_name": EXIT_STEP, "state": "FAILED"},
        {"display_name": None, "state": None},
    ]
    found = failed_steps({"run_details": {"task_details": details}})
    assert list(found) == ["Trainer", "Pusher"]
    assert failed_steps({}) == {}


@pytest.mark.slow
def test_the_compiled_pipeline_differs_by_notifications_alone(compiled: Any) -> None:
    make = lazily("pipeline.kubeflow_runner", "compile_pipeline")
    notifying = make(load((), (*SETTINGS, *NOTIFY)))
    assert check(notifying.to_yaml()).problems == []
    inner = notifying.components[f"comp-{STEPS}"]["dag"]["tasks"]
    plain = compiled.spec["root"]["dag"]["tasks"]
    assert inner[LAST_STEP].pop("cachingOptions") == {}
    plain = {**plain, LAST_STEP: dict(plain[LAST_STEP])}
    plain[LAST_STEP].pop("cachingOptions")
    assert inner == plain
    for name in (*plain, EXIT_STEP):
        arguments = notifying.executor(name)["container"]["args"]
        sends = name in (LAST_STEP, EXIT_STEP)
        assert ("--notify" in arguments) == sends, name
    resources = notifying.executor(EXIT_STEP)["container"]["resources"]
    assert resources["memoryLimit"] == 1.0
    assert json.loads(arguments[arguments.index("--notify") + 1])["pipeline"]
    assert "ALL_UPSTREAM" not in compiled.to_yaml()


def result(folder: Path, **changes: dict[str, Any]) -> Outcome:
    """What the last step sends about artifacts with these properties."""
    numbers = {"ndcg@10": 0.12, "recall@10": None}
    evaluation = {
        "candidate": numbers,
        "baseline": None,
        "popularity": {"ndcg@10": 0.04},
        "blessed": True,
        "reasons": ["ndcg@10 0.1200 is 3.0x popularity"],
    }
    evaluation |= changes.pop("evaluation", {})
    (folder / "retrieval_summary.json").write_text(json.dumps(evaluation))
    properties = {
        "evaluation": {},
        "examples": {"summary": json.dumps({"spans": [20512, 20513]})},
        "pushed_model": {"pushed_version": "1772323200"},
        "baseline_model": {"version": "1772236800"},
        "infra_blessing": {"reasons": "[]"},
        **changes,
    }
    inputs = {
        key: {"artifacts": [{"uri": str(folder), "metadata": metadata}]}
        for key, metadata in properties.items()
    }
    settings = NotifySettings.of(load((), NOTIFY))
    return of_result(NotifySettings.from_argument(settings.argument()), inputs, "r1")


def test_the_last_step_knows_what_became_of_the_model(tmp_path: Path) -> None:
    pushed = result(tmp_path)
    assert pushed.status is Status.PUSHED
    assert pushed.span == "2026-03-01"
    assert pushed.live_version == "1772323200"
    assert pushed.previous_version == "1772236800"
    assert pushed.metrics["candidate"] == {"ndcg@10": 0.12}
    assert pushed.metrics["baseline"] is None
    assert pushed.report == "https://kubeflow.example.com/pipeline/#/runs/details/r1"
    worse = {"blessed": False, "reasons": ["ndcg@10 fell"]}
    not_pushed = {"pushed_version": "", "pushed": 0.0}
    refused = result(tmp_path, evaluation=worse, pushed_model=not_pushed)
    assert refused.status is Status.NOT_BLESSED
    assert (refused.reasons, refused.live_version) == (["ndcg@10 fell"], "1772236800")
    broken = {"reasons": '["it does not load"]'}
    faulty = result(tmp_path, infra_blessing=broken, pushed_model=not_pushed)
    assert faulty.status is Status.NOT_BLESSED
    assert "not servable: it does not load" in faulty.reasons
    waits = {"awaiting_approval": 1.0}
    waiting = result(tmp_path, pushed_model=waits)
    assert waiting.status is Status.AWAITING_APPROVAL
    first = result(tmp_path, baseline_model={}, pushed_model={}, examples={})
    assert first.status is Status.NOTHING_TO_DO
    assert (first.live_version, first.span) == (None, None)
