"""Trains by the pods of a TFJob, for a step that runs in a Kubernetes cluster.

The training operator of Kubeflow starts the pods and gives each its `TF_CONFIG`. They
and the step see one volume. A pod that is lost is started again, and so are those that
waited for it, and all go on from the checkpoint in the volume.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

from trainer.errors import UserError
from trainer.workers.staging import Stage

# Passes the job to the Trainer step: `pipeline.kubeflow.training_job.TrainingJob`.
JOB_VARIABLE: Final = "TWO_TOWER_TRAIN_JOB"
GROUP: Final = "kubeflow.org"
VERSION: Final = "v1"
PLURAL: Final = "tfjobs"
_POLL_SECONDS: Final = 5.0
_PATIENCE_SECONDS: Final = 300.0  # with a server that does not answer
_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_CONFLICT, _FORBIDDEN, _NOT_FOUND = 409, 403, 404
_LOG: Final = logging.getLogger(__name__)


def train_on_cluster(fn_args: Any, job: dict[str, Any]) -> None:
    """Trains and exports as `trainer.training.train_and_export` does, by a TFJob.

    Args:
      fn_args: TFX's `FnArgs`.
      job: `folder`, that of the stages in the volume, and `manifest`, the TFJob without
        a name and without the workers' argument.

    Raises:
      UserError: The cluster takes no such job, or the job failed.
    """
    stage = Stage(Path(job["folder"]), fn_args)
    try:
        stage.fill()
    except OSError as error:
        raise UserError(
            f"The inputs of the workers cannot be copied to {stage.folder}: {error}",
            "Let kubeflow.training_dir name a writable folder of a volume.",
        ) from error
    manifest = complete(job["manifest"], stage)
    name = manifest["metadata"]["name"]
    jobs = Jobs()
    with _ended_by_signal(), jobs.deleted_if_interrupted(name):
        jobs.create(manifest, has_model=stage.has_model())
        failure = jobs.wait(name)
    if failure is not None:
        raise _explained(stage, name, failure)
    stage.collect()


def complete(manifest: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """Returns the manifest with a name and the workers' arguments."""
    manifest = copy.deepcopy(manifest)
    manifest["metadata"]["name"] = f"two-tower-train-{stage.key}"
    worker = manifest["spec"]["tfReplicaSpecs"]["Worker"]
    (container,) = worker["template"]["spec"]["containers"]
    container["args"] = [str(stage.arguments), "--events"]
    return manifest


class Jobs:
    """The TFJobs of this namespace."""

    def __init__(self) -> None:
        """Finds the cluster: that of this pod, or that of the kube config."""
        from kubernetes import client, config

        if _NAMESPACE.exists():
            config.load_incluster_config()
            namespace = _NAMESPACE.read_text(encoding="utf-8").strip()
        else:
            config.load_kube_config()
            active = config.list_kube_config_contexts()[1]
            namespace = active["context"].get("namespace", "default")
        self._api = client.CustomObjectsApi()
        self._error = client.ApiException
        self._of = (GROUP, VERSION, namespace, PLURAL)

    def create(self, manifest: dict[str, Any], *, has_model: bool = False) -> None:
        """Creates a job, or takes the one that an earlier try of this step created.

        Args:
          manifest: The job.
          has_model: Whether the model of one that succeeded is still in the volume:
            after a run with the same inputs it is not.

        Raises:
          UserError: The server refuses it.
        """
        name = manifest["metadata"]["name"]
        for _ in range(2):
            try:
                self._api.create_namespaced_custom_object(*self._of, manifest)
            except self._error as error:
                if error.status != _CONFLICT:
                    raise _refused(error) from error
                ending = _ending(self._get(name))
                if ending is None or (ending == "Succeeded" and has_model):
                    _LOG.info("The TFJob %s exists already", name)
                    return
                self.delete(name)
            else:
                _LOG.info("Started the TFJob %s", name)
                return
        raise UserError(
            f"The TFJob {name}, which has ended, cannot be removed",
            f"kubectl delete tfjob {name}",
        )

    def wait(self, name: str) -> str | None:
        """Waits for the end of a job; returns None, or the message of its failure."""
        last_answer = time.monotonic()
        while True:
            try:
                job = self._get(name)
            except (
                Exception
            ) as error:  # of the connection, or of a server that restarts
                status = getattr(error, "status", 0)
                if status == _NOT_FOUND:
                    return "somebody removed it"
                if time.monotonic() - last_answer > _PATIENCE_SECONDS:
                    raise
                _LOG.warning("Kubernetes does not answer: %s", error)
            else:
                last_answer = time.monotonic()
                if (end := _ending(job)) is not None:
                    return None if end == "Succeeded" else _message(job)
            time.sleep(_POLL_SECONDS)

    def delete(self, name: str) -> None:
        """Deletes a job with its pods, and waits until it is gone."""
        foreground = "Foreground"
        deadline = time.monotonic() + _PATIENCE_SECONDS
        with contextlib.suppress(self._error):
            self._api.delete_namespaced_custom_object(
                *self._of, name, propagation_policy=foreground
            )
            while time.monotonic() < deadline:
                self._get(name)  # fails when it is gone
                time.sleep(_POLL_SECONDS)

    @contextlib.contextmanager
    def deleted_if_interrupted(self, name: str) -> Iterator[None]:
        """Deletes the job if this step is ended: nobody would use its model."""
        try:
            yield
        except (SystemExit, KeyboardInterrupt):
            with contextlib.suppress(Exception):
                self._api.delete_namespaced_custom_object(*self._of, name)
            raise

    def _get(self, name: str) -> dict[str, Any]:
        job: dict[str, Any] = self._api.get_namespaced_custom_object(*self._of, name)
        return job


def _conditions(job: dict[str, Any]) -> dict[str, dict[str, str]]:
    listed = job.get("status", {}).get("conditions") or ()
    return {item["type"]: item for item in listed if item["status"] == "True"}


def _ending(job: dict[str, Any]) -> str | None:
    """How a job ended: "Succeeded" or "Failed"; None while it has not."""
    found = _conditions(job)
    return next((end for end in ("Succeeded", "Failed") if end in found), None)


def _message(job: dict[str, Any]) -> str:
    failed = _conditions(job)["Failed"]
    return failed.get("message") or failed.get("reason") or "no reason given"


def _refused(error: Any) -> UserError:
    """Explains why the server takes no job."""
    if error.status == _NOT_FOUND:
        return UserError(
            f"The cluster knows no {PLURAL}.{GROUP}/{VERSION}",
            "Install Kubeflow's training operator 1.x, or set train.workers=1.",
        )
    if error.status == _FORBIDDEN:
        return UserError(
            f"The service account of the steps may not create {PLURAL}.{GROUP}",
            "kubectl apply -k kubeflow/manifests/training",
        )
    with contextlib.suppress(ValueError, TypeError, KeyError):
        return UserError(
            f"Kubernetes refuses the TFJob: {json.loads(error.body)['message']}",
            "Change the section `kubeflow` of the configuration.",
        )
    return UserError(
        f"Kubernetes refuses the TFJob ({error.status} {error.reason})",
        "The log of its API server shows why.",
    )


def _explained(stage: Stage, name: str, message: str) -> UserError:
    """Returns the workers' own error, if they have one, else the operator's message."""
    if event := stage.failure():
        return UserError(event["cause"], event["remedy"])
    return UserError(
        f"The TFJob {name} failed: {message}",
        "kubectl logs -l training.kubeflow.org/job-name="
        f"{name} shows why. The next try goes on from the checkpoint.",
    )


@contextlib.contextmanager
def _ended_by_signal() -> Iterator[None]:
    """Lets SIGTERM, by which Kubernetes ends a pod, clean up."""

    def end(number: int, frame: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
