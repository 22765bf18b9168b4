"""The section `kubeflow`: invalid values, and what a step inherits."""

from __future__ import annotations

import pytest

from pipeline.config.loading import load
from pipeline.kubeflow.step_settings import step_config
from trainer.errors import UsageError


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("kubeflow.serving_dir=/tmp/x", "is in no volume"),
        ("kubeflow.input_base=hdfs://a/b", "no step can open.*gs:// or s3:// or minio"),
        ("kubeflow.serving_dir=s3://bucket/x", "no step can open.*volume.*at gs://\\."),
        ("kubeflow.env.DB_PASSWORD=hunter2", "looks like a secret"),
        ("kubeflow.env.SIGNING_KEY=hunter2", "looks like a secret"),
        ("kubeflow.env.DATABASE_URL=x://hunter2", "looks like a secret"),
        ("kubeflow.env.STORE=https://u:hunter2@h", "looks like a secret"),
        ("kubeflow.env.A='-----BEGIN PRIVATE KEY-----hunter2'", "looks like a secret"),
        ("kubeflow.run_as_user=0", "greater than 0"),
        ("kubeflow.steps.Trainer.cpux=1", "no key 'kubeflow.steps.Trainer.cpux'"),
        ("kubeflow.defaults.retries=-1", "greater than or equal to 0"),
        ("kubeflow.pipeline_root=/tmp", "must match pattern"),
        ("kubeflow.image_pull_policy=Maybe", "'Always', 'IfNotPresent' or 'Never'"),
        ("kubeflow.secrets=[{variable: a b, secret: s, key: k}]", "must match pattern"),
    ],
)
def test_impossible_settings_are_rejected(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load((), [assignment])
    assert "hunter2" not in str(caught.value)


def test_a_folder_that_is_the_mount_itself_is_in_the_volume() -> None:
    config = load((), ["kubeflow.serving_dir=/mnt/two-tower"])
    assert config.kubeflow.serving_dir == "/mnt/two-tower"
    with pytest.raises(UsageError, match="is in no volume"):
        load((), ["kubeflow.serving_dir=/mnt/two-tower-2/serving"])


def test_a_step_inherits_settings_that_it_does_not_set() -> None:
    config = load((), ["kubeflow.steps.Trainer.cpu=8", "kubeflow.defaults.retries=0"])
    trainer = step_config(config.kubeflow, "Trainer")
    assert (trainer.cpu, trainer.memory_gb, trainer.retries) == (8, 4, 0)
    assert step_config(config.kubeflow, "Pusher").cpu == 2
