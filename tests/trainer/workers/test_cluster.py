"""A step that trains by a TFJob: what goes to the pods, what comes back, how it fails.

Kubernetes is a server whose pods are processes of a few lines.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.config import kube_config

from pipeline.kubeflow.config import KubeflowConfig
from pipeline.kubeflow.training_job import manifest
from tests.fixtures.tfjob_server import Cluster, tfjob_cluster
from trainer.errors import UserError
from trainer.workers import cluster as on_cluster
from trainer.workers.cluster import train_on_cluster

TRAIN = """
import json, os, pathlib, signal, sys, time
task = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
path = pathlib.Path(sys.argv[1])
arguments = json.loads(path.read_text())
assert sys.argv[2] == "--events"
def emit(**event):
    path.with_name(f"events-{task}.jsonl").write_text(json.dumps(event) + "\\n")
def read(pattern):
    folder = pathlib.Path(pattern).parent
    return folder.name, [file.read_text() for file in folder.iterdir()]
def export():
    model = pathlib.Path(arguments["serving_model_dir"])
    model.mkdir(parents=True)
    read_files = [read(pattern) for pattern in arguments["train_files"]]
    (model / "model").write_text(json.dumps(read_files))
    (pathlib.Path(arguments["model_run_dir"]) / "report").write_text("loss")
"""


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(on_cluster, "_POLL_SECONDS", 0.05)
    with tfjob_cluster(tmp_path) as (served, config):
        # It reads the variable KUBECONFIG when it is imported, and no more.
        monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
        monkeypatch.setenv("KUBECONFIG", str(config))
        yield served


@pytest.fixture
def fn_args(tmp_path: Path) -> Any:
    """The launcher's local copies."""
    pod = tmp_path / "pod"
    splits = {}
    for split in ("Split-train", "Split-corpus", "Split-eval"):
        splits[split] = pod / "examples" / split
        splits[split].mkdir(parents=True)
        (splits[split] / "part-0").write_text(f"rows of {split}")
    for name in ("graph", "base", "model_run"):
        (pod / name).mkdir()
    return SimpleNamespace(
        custom_config={"epochs": 3},
        hyperparameters=None,
        base_model=str(pod / "base"),
        transform_graph_path=str(pod / "graph"),
        train_files=[f"{splits[s]}/*" for s in ("Split-train", "Split-corpus")],
        eval_files=[f"{splits['Split-eval']}/*"],
        serving_model_dir=str(pod / "model" / "Format-Serving"),
        model_run_dir=str(pod / "model_run"),
    )


def job(tmp_path: Path, script: str, workers: int = 2) -> dict[str, Any]:
    content = manifest(KubeflowConfig(), workers)
    pod = content["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    pod["containers"][0]["command"] = [sys.executable, "-c", TRAIN + script]
    return {"folder": str(tmp_path / "volume"), "manifest": content}


def test_the_model_of_the_pods_is_the_model_of_the_step(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    train_on_cluster(fn_args, job(tmp_path, "task or export()"))
    model = Path(fn_args.serving_model_dir, "model").read_text()
    assert '["Split-train", ["rows of Split-train"]]' in model
    assert '["Split-corpus", ["rows of Split-corpus"]]' in model
    assert Path(fn_args.model_run_dir, "report").read_text() == "loss"
    assert not list((tmp_path / "volume").iterdir()), "the volume is as it was"


def test_a_pod_that_is_killed_is_started_again(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    script = """
if task == 1 and not path.with_name("checkpoint").exists():
    path.with_name("checkpoint").write_text("1 epoch")
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(0.5)
task or export()
"""
    train_on_cluster(fn_args, job(tmp_path, script))
    assert [one.restarts for one in cluster.jobs.values()] == [1]
    assert Path(fn_args.serving_model_dir, "model").exists()


def test_the_error_of_a_pod_is_that_of_the_step_and_a_retry_starts_a_new_job(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    failing = """
emit(kind="error", cause="Training diverged", remedy="Lower the rate")
sys.exit(1)
"""
    with pytest.raises(UserError, match="Training diverged. Lower the rate"):
        train_on_cluster(fn_args, job(tmp_path, failing))
    (stage,) = (tmp_path / "volume").iterdir()
    (stage / "Trainer" / "checkpoint").write_text("2 epochs")
    going_on = """
assert path.with_name("Trainer").joinpath("checkpoint").exists()
task or export()
"""
    train_on_cluster(fn_args, job(tmp_path, going_on))
    assert Path(fn_args.serving_model_dir, "model").exists()


def test_a_step_that_is_tried_again_takes_the_running_job(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    """The pod of the step was lost, that of the workers were not."""
    content = job(tmp_path, "time.sleep(0.5)\ntask or export()")
    jobs = on_cluster.Jobs()
    stage = on_cluster.Stage(tmp_path / "volume", fn_args)
    stage.fill()
    jobs.create(on_cluster.complete(content["manifest"], stage))
    train_on_cluster(fn_args, content)
    assert len(cluster.jobs) == 1
    assert Path(fn_args.serving_model_dir, "model").exists()


def test_the_same_inputs_are_trained_on_again_after_a_success(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    """The cluster keeps the job that succeeded for a day, the volume no model."""
    content = job(tmp_path, "task or export()")
    train_on_cluster(fn_args, content)
    Path(fn_args.serving_model_dir, "model").unlink()
    train_on_cluster(fn_args, content)
    assert Path(fn_args.serving_model_dir, "model").exists()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "Install Kubeflow's training operator"),
        (403, "kubectl apply -k kubeflow/manifests/training"),
        (422, "refuses the TFJob: exceeded quota"),
        (500, "refuses the TFJob: exceeded quota"),
    ],
)
def test_a_cluster_that_takes_no_job_is_explained(
    cluster: Cluster, fn_args: Any, tmp_path: Path, status: int, message: str
) -> None:
    cluster.refuses = (status, "exceeded quota")
    with pytest.raises(UserError, match=message):
        train_on_cluster(fn_args, job(tmp_path, "pass"))


def test_a_job_that_fails_without_a_word_names_its_log(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"1 Worker replica.* kubectl logs -l train"):
        train_on_cluster(fn_args, job(tmp_path, "sys.exit(2)"))


def test_a_volume_that_cannot_be_written_is_named(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    (tmp_path / "volume").write_text("a file")
    with pytest.raises(UserError, match=r"kubeflow\.training_dir"):
        train_on_cluster(fn_args, job(tmp_path, "pass"))
    assert not cluster.jobs


def test_a_step_that_is_ended_removes_its_job(
    cluster: Cluster, fn_args: Any, tmp_path: Path
) -> None:
    content = job(tmp_path, "time.sleep(600)")
    step = f"""
from types import SimpleNamespace
from trainer.workers.cluster import train_on_cluster
train_on_cluster(SimpleNamespace(**{vars(fn_args)!r}), {content!r})
"""
    process = subprocess.Popen([sys.executable, "-c", step])
    deadline = time.monotonic() + 60
    while not cluster.jobs and time.monotonic() < deadline:
        time.sleep(0.05)
    (running,) = cluster.jobs.values()
    time.sleep(0.3)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not cluster.jobs
    assert all(pod.poll() is not None for pod in running.pods)
