"""DataGate when values have drifted since the live model was trained."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen import stats_artifact_utils

from components.serving_directory import STATISTICS_FILE
from pipeline.config import DataConfig
from tests.fixtures.example_rows import sound_rows
from tests.fixtures.gate_run import Inputs, make_inputs, pass_gate
from tests.fixtures.served_versions import graph
from trainer.errors import UserError

Statistics = statistics_pb2.DatasetFeatureStatisticsList
pytestmark = pytest.mark.slow  # runs StatisticsGen and what follows it
BOUNDS = dict(DataConfig().max_drift)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Sound rows, of users who are all women in train and half of them in eval."""
    rows = sound_rows()
    for row in rows["train"]:
        row["gender"] = [b"F"]
    for number, row in enumerate(rows["eval"]):
        row["gender"] = [b"FM"[number % 2 : number % 2 + 1]]
    return make_inputs(tmp_path_factory.mktemp("gate"), rows)


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Rows of other movies, all rated five stars, without genders."""
    rows = sound_rows()
    for row in rows["train"] + rows["eval"]:
        row["ratings"] = [5.0] * 4
        for name in ("movie_ids", "seen_movie_ids", "held_out_movie_ids"):
            if name in row:
                row[name] = [b"x" + movie for movie in row[name]]
    for row in rows["corpus"]:
        row["movie_id"] = [b"x" + row["movie_id"][0]]
    return make_inputs(tmp_path_factory.mktemp("spoilt"), rows)


def _serve(folder: Path, version: str, inputs: Inputs | None) -> None:
    """Puts a version there that was trained on the inputs; None for an old Pusher's."""
    path = folder / "serving" / version
    (path / STATISTICS_FILE).parent.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(graph("a model"))
    if inputs is not None:
        train = stats_artifact_utils.load_statistics(inputs["statistics"][0], "train")
        (path / STATISTICS_FILE).write_bytes(train.proto().SerializeToString())


def test_data_without_drift_passes(tmp_path: Path, inputs: Inputs) -> None:
    _serve(tmp_path, "7", inputs)
    outcome = pass_gate(inputs, tmp_path, max_drift={**BOUNDS, "gender": 0.01})
    assert outcome.error is None
    assert outcome.report["drift"] == {
        "live_version": "7",
        "divergences": {"movie_ids": 0.0, "ratings": 0.0, "gender": 0.0},
    }


def test_other_movies_and_ratings_are_refused(
    tmp_path: Path, inputs: Inputs, spoilt: Inputs
) -> None:
    """The newest version counts, and 10 is newer than 9."""
    _serve(tmp_path, "9", spoilt)
    _serve(tmp_path, "10", inputs)
    outcome = pass_gate(spoilt, tmp_path, max_drift=BOUNDS)
    for feature, least in (("movie_ids", 0.99), ("ratings", 0.3)):
        finding = outcome.finding("train", feature, f"at most {BOUNDS[feature]:g}")
        assert "the live version 10" in finding.expected
        assert least <= float(finding.found) <= 1
        assert finding.count == 48
    message = str(outcome.error)
    assert "\n" not in message and "--set data.max_drift.movie_ids=null" in message
    assert str(pickle.loads(pickle.dumps(outcome.error))) == message


def test_a_larger_bound_accepts_the_change(
    tmp_path: Path, inputs: Inputs, spoilt: Inputs
) -> None:
    _serve(tmp_path, "1", inputs)
    outcome = pass_gate(spoilt, tmp_path, max_drift={"ratings": 1.0})
    assert outcome.error is None
    assert 0.1 < outcome.report["drift"]["divergences"]["ratings"] <= 1


def test_a_feature_that_is_missing_now_is_drift(
    tmp_path: Path, inputs: Inputs, spoilt: Inputs
) -> None:
    _serve(tmp_path, "1", inputs)
    outcome = pass_gate(spoilt, tmp_path, max_drift={"gender": 1.0})
    finding = outcome.finding("train", "gender")
    assert (finding.found, finding.count) == ("0 values here and 12 there", 0)


def test_a_bound_of_an_unknown_feature_is_an_error(
    tmp_path: Path, inputs: Inputs
) -> None:
    _serve(tmp_path, "1", inputs)
    with pytest.raises(UserError, match=r"data\.max_drift names occupation") as caught:
        pass_gate(inputs, tmp_path, max_drift={"occupation": 0.1})
    assert "--set data.max_drift.occupation=null" in str(caught.value)


@pytest.mark.parametrize(("version", "note"), [(None, "no version"), ("3", "3 came")])
def test_without_statistics_there_is_a_note(
    tmp_path: Path, inputs: Inputs, version: str | None, note: str
) -> None:
    """The first run, and a version that an older Pusher left."""
    if version:
        _serve(tmp_path, version, None)
    outcome = pass_gate(inputs, tmp_path, max_drift=BOUNDS)
    assert outcome.error is None
    assert note in outcome.report["drift"]["note"]


def test_damaged_statistics_are_an_error(tmp_path: Path, inputs: Inputs) -> None:
    _serve(tmp_path, "1", inputs)
    path = tmp_path / "serving" / "1" / STATISTICS_FILE
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=r"1/assets\.extra/.* is damaged"):
        pass_gate(inputs, tmp_path, max_drift=BOUNDS)


def test_eval_is_compared_with_train(tmp_path: Path, inputs: Inputs) -> None:
    outcome = pass_gate(inputs, tmp_path, max_skew={"ratings": 0.1, "gender": 0.1})
    divergences = outcome.report["skew"]["divergences"]
    assert divergences["ratings"] == 0
    mixed = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert divergences["gender"] == pytest.approx(mixed - 0.5, abs=1e-6)
    finding = outcome.finding("eval", "gender", "as in the split train")
    assert finding.count == 12
