"""A push that is killed anywhere: what a server sees, and what the next push does."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
import tensorflow as tf  # noqa: F401 - before the fork

from components.pusher.config import RolloutConfig
from components.pusher.push_model import (
    complete_push,
    describe,
    find_model,
    push_described,
)
from components.pusher.push_version import abandoned
from components.serving_directory import (
    audit,
    complete_versions,
    labels,
    read_ledger,
    read_push,
    versions,
)
from components.serving_directory.withdrawal import finish
from tests.fixtures.served_versions import make_model
from trainer.model_identity import model_id

_DIRECT = RolloutConfig()


def push(model: Path, serving: Path, rollout: RolloutConfig = _DIRECT) -> str:
    """What Pusher does with a model that is blessed."""
    identity = model_id(str(model))
    finish(str(serving))
    known = find_model(str(serving), identity)
    version = known.version
    if version is None:
        pushed = describe(str(model), b"statistics", str(serving), identity, "run")
        return push_described(str(model), str(serving), pushed, rollout)
    described = read_push(str(serving / version))
    assert described
    complete_push(str(serving), version, described, rollout, known.recorded)
    return version


def push_killed_at(
    event: str,
    pattern: str,
    model: Path,
    serving: Path,
    rollout: RolloutConfig = _DIRECT,
) -> None:
    """Pushes in a process that is killed at an audit event of Python."""
    child = os.fork()
    if child:
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), f"{event} {pattern} came"
        return

    def kill(name: str, arguments: tuple[object, ...]) -> None:
        if name == event and re.search(pattern, " ".join(map(str, arguments[:2]))):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(kill)
    try:
        push(model, serving, rollout)
    finally:
        os._exit(0)


@pytest.mark.parametrize(
    ("event", "pattern", "is_visible"),
    [
        ("os.mkdir", r"/\.pushing-", False),
        ("open", r"/\.pushing-\w+ ", False),  # its lock
        ("open", r"/\.pushing-\w+/saved_model\.pb ", False),  # flushed
        ("os.rename", r"/\.pushing-\w+ ", False),
        ("open", r"/serving/\.part-", True),  # the labels
        ("os.rename", r"/\.labels\.json$", True),
        ("os.rename", r"/models\.config$", True),
        ("open", r"/\.pushed/\.part-", True),
        ("os.rename", r"/\.pushed/\w+\.json$", True),
        ("open", r"/\.audit\.jsonl a", True),
    ],
)
def test_a_killed_push_shows_all_or_nothing_and_is_completed_by_the_next(
    tmp_path: Path, event: str, pattern: str, is_visible: bool
) -> None:
    serving = tmp_path / "serving"
    push(make_model(tmp_path / "live", "the live model"), serving)
    model = make_model(tmp_path / "candidate", "the candidate")
    before = complete_versions(str(serving))

    push_killed_at(event, pattern, model, serving)

    seen = versions(str(serving))
    assert seen == complete_versions(str(serving)), "no half of a version"
    assert seen[:1] == before and len(seen) == 1 + is_visible

    version = push(model, serving)
    assert complete_versions(str(serving)) == [*before, version]
    assert labels.read(str(serving)) == labels.Labels(version, exist=True)
    assert f"value: {version} }}" in (serving / "models.config").read_text()
    identity = model_id(str(model))
    assert (read_ledger(str(serving), identity) or {})["version"] == version
    pushes = [entry["versions"] for entry in audit.read(str(serving))]
    assert pushes == [before, [version]]
    abandoned(str(serving), remove=True)
    assert not list(serving.glob(".pushing-*"))


def test_what_is_live_has_its_label_before_a_canary_can_be_seen(tmp_path: Path) -> None:
    serving, canary = tmp_path / "serving", RolloutConfig(rollout="canary")
    make_model(serving / "9", "pushed by an earlier release, which had no labels")
    model = make_model(tmp_path / "candidate", "the candidate")

    push_killed_at("os.rename", r"/\.pushing-\w+ ", model, serving, canary)
    assert labels.read(str(serving)) == labels.Labels("9", exist=True)

    version = push(model, serving, canary)
    assert labels.read(str(serving)) == labels.Labels("9", version, exist=True)
