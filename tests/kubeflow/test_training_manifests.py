"""What several pods that train need beside the steps' own manifests."""

from __future__ import annotations

from pipeline.kubeflow.training_job import LABEL
from tests.fixtures.manifests import FOLDER, only, read
from trainer.workers.cluster import GROUP, PLURAL

FOUND = {item["kind"]: item for item in read(*(FOLDER / "training").glob("*.yaml"))}


def test_the_steps_may_create_look_at_and_delete_jobs_and_nothing_else() -> None:
    (rule,) = FOUND["Role"]["rules"]
    assert (rule["apiGroups"], rule["resources"]) == ([GROUP], [PLURAL])
    assert sorted(rule["verbs"]) == ["create", "delete", "get"]
    binding = FOUND["RoleBinding"]
    assert binding["roleRef"]["name"] == FOUND["Role"]["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert subject["name"] == only("ServiceAccount")["metadata"]["name"]


def test_only_workers_reach_workers() -> None:
    policy = FOUND["NetworkPolicy"]["spec"]
    assert policy["podSelector"]["matchLabels"] == LABEL
    (rule,) = policy["ingress"]
    assert [one["podSelector"]["matchLabels"] for one in rule["from"]] == [LABEL]
    assert [port["port"] for port in rule["ports"]] == [2222], "the operator's"
