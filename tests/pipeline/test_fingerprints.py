"""Fingerprints: an edited step runs again, and only what depends on it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline import fingerprints
from pipeline.config.loading import load

REPOSITORY = Path(fingerprints.__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that a test may edit."""
    for package in ("components", "trainer", "pipeline"):
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    monkeypatch.setattr(fingerprints, "_ROOT", tmp_path)
    return tmp_path


def changed_by_editing(checkout: Path, source: str) -> set[str]:
    before = fingerprints.code_fingerprints()
    path = checkout / source
    path.write_text(path.read_text() + "\n# edited\n")
    after = fingerprints.code_fingerprints()
    return {node for node, digest in after.items() if digest != before[node]}


@pytest.mark.parametrize(
    ("source", "nodes"),
    [
        ("trainer/preprocessing.py", {"Transform", "Tuner", "Trainer"}),
        ("trainer/export.py", {"Tuner", "Trainer"}),
        ("components/tuner/executor.py", {"Tuner"}),
        ("trainer/tuning/hyperparameters.py", {"Tuner", "Trainer"}),
        ("components/schema_importer/schema.pbtxt", {"SchemaImporter"}),
        ("components/metrics/ndcg.py", {"Evaluator"}),
        ("components/pusher/executor.py", {"Pusher"}),
        (
            "components/single_artifacts.py",
            {"SchemaImporter", "DataGate", "LiveModel"}
            | {"ServabilityCheck", "ReportGen"},
        ),
        ("pipeline/cli/run.py", set()),
    ],
)
def test_an_edit_reaches_the_steps_that_run_it(
    checkout: Path, source: str, nodes: set[str]
) -> None:
    assert changed_by_editing(checkout, source) == nodes


def test_the_names_of_features_reach_every_step(checkout: Path) -> None:
    everything = set(fingerprints.code_fingerprints())
    assert changed_by_editing(checkout, "trainer/features.py") == everything


def test_what_python_compiles_changes_nothing(checkout: Path) -> None:
    before = fingerprints.code_fingerprints()
    cache = checkout / "trainer" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "towers.cpython-310.pyc").write_bytes(b"compiled")
    assert fingerprints.code_fingerprints() == before


def test_an_edit_of_ones_own_class_reaches_the_step_that_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for number, key in enumerate(("model.history_encoder", "train.loss")):
        module = tmp_path / f"own_part_{number}.py"
        module.write_text("")
        config = load([], [f"{key}=own_part_{number}.Own"])
        before = fingerprints.code_fingerprints(config)
        module.write_text("# edited\n")
        after = fingerprints.code_fingerprints(config)
        changed = {node for node in after if after[node] != before[node]}
        assert changed == {"Tuner", "Trainer"}
    metric = load([], ["eval.metrics=[own_part_0.Own@5]"])
    assert (
        fingerprints.code_fingerprints(metric)["Evaluator"]
        != fingerprints.code_fingerprints()["Evaluator"]
    )
    absent = load([], ["train.loss=nowhere.at.All"])
    assert fingerprints.code_fingerprints(absent)


def test_every_source_exists() -> None:
    """A step whose sources were renamed would silently lose its fingerprint."""
    for sources in fingerprints._SOURCES.values():
        for source in sources:
            assert (REPOSITORY / source).exists(), source
