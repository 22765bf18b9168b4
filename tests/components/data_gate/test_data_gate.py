"""DataGate on the outputs of the steps before it, for sound and for faulty rows."""

from __future__ import annotations

import math
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tfx.types import standard_artifacts

from components.data_gate.schema_violations import load_anomalies
from components.schema_importer.component import SchemaImporter
from tests.fixtures.example_rows import (
    Row,
    corpus_row,
    eval_row,
    sound_rows,
    train_row,
)
from tests.fixtures.gate_run import Outcome, make_inputs, pass_gate
from trainer import features
from trainer.errors import UserError

pytestmark = pytest.mark.slow  # runs StatisticsGen and what follows it


def _pass_gate(
    folder: Path,
    rows: Mapping[str, Sequence[Row]],
    min_rows: Mapping[str, int] | None = None,
) -> Outcome:
    """Runs the steps from StatisticsGen to DataGate on the rows."""
    return pass_gate(make_inputs(folder, rows), folder, min_rows=min_rows)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Rows without a fault, some with optional features, and one cold user."""
    rows = sound_rows()
    rows["train"][0] |= {"age": [24], "gender": [b"F"], "zip_code": [b"02139"]}
    rows["corpus"][1] = corpus_row(1, genres=[], year=None)
    nothing = {"movie_ids": [], "ratings": [], "timestamps": [], "seen_movie_ids": []}
    rows["eval"].append(eval_row(99, **nothing))
    return _pass_gate(tmp_path_factory.mktemp("sound"), rows)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Rows with each kind of fault, in different features where faults would mix."""
    rows = sound_rows()
    train, evaluation, corpus = rows["train"], rows["eval"], rows["corpus"]
    train[0] = train_row(0, ratings=[99.0, 99.0, math.nan, 3.0])
    train[1] = train_row(1, user_id=None)
    train[2] = train_row(2, held_out_movie_ids=[b"7"])
    train[3] = train_row(3, gender=[b"X"])
    train[4] = train_row(4, mood=[b"good"])
    train[5] = train_row(5, num_context=[4])
    train[6] = train_row(6, movie_ids=[b"1", b"", b"777", b"2"])
    train[7] = train_row(7, timestamps=[1, 2, 3])
    train[8] = train_row(8, timestamps=[1, 2, 3, 880000000000])
    for row in train:  # A column of two types would not even have statistics.
        row[features.WINDOW_INDEX] = [b"first"]
    evaluation[0] = eval_row(0, held_out_movie_ids=[b"2"])
    evaluation[1] = eval_row(1, user_id=[b" "])
    corpus += [corpus_row(0, movie_id=None), corpus_row(0, movie_id=[b""])]
    corpus += [corpus_row(2)]
    corpus[4] = corpus_row(4, title=[b"A", b"B"])
    corpus[5] = corpus_row(5, year=[19])
    return _pass_gate(tmp_path_factory.mktemp("faulty"), rows)


def test_sound_rows_pass(sound: Outcome) -> None:
    """Every split is validated in its own environment, and nothing is reported."""
    assert sound.error is None
    assert sound.report["rows"] == {"train": 12, "eval": 13, "corpus": 12}
    assert sound.report["findings"] == []
    for split in features.MEASURED_SPLITS:
        anomalies = load_anomalies(sound.anomalies, split)
        assert not anomalies.anomaly_info
        # An empty baseline means that nothing was validated.
        assert anomalies.baseline.feature


@pytest.mark.parametrize(
    ("split", "feature", "expected", "found", "count"),
    [
        ("train", "ratings", "between 0.5 and 5", "99, nan", 3),
        ("train", "user_id", "be in every row", "none", 1),
        ("train", "held_out_movie_ids", "not be in this split", "it", 1),
        ("train", "gender", "be one of F, M", '"X"', 1),
        ("train", "mood", "not be in this split", "it", 1),
        ("train", "movie_ids", "num_context", "no target", 1),
        ("train", "movie_ids", "not be blank", '""', 1),
        ("train", "movie_ids", "be in the corpus", '"777"', 1),
        ("train", "timestamps", "as long as", "another length", 1),
        ("train", "timestamps", "between 0 and", "880000000000", 1),
        ("train", "window_index", "hold integers", '"first"', 12),
        ("eval", "held_out_movie_ids", "seen_movie_ids", '"2"', 1),
        ("eval", "user_id", "not be blank", '" "', 1),
        ("corpus", "movie_id", "be in every row", "none", 1),
        ("corpus", "movie_id", "not be blank", '""', 1),
        ("corpus", "movie_id", "be unique", '"3"', 1),
        ("corpus", "title", "at most 1 value", "2 values", 1),
        ("corpus", "year", "between 1850 and 2100", "19", 1),
    ],
)
def test_each_fault_is_named_with_value_and_count(
    *, faulty: Outcome, split: str, feature: str, expected: str, found: str, count: int
) -> None:
    """Feature, expectation, value and count of each planted fault."""
    finding = faulty.finding(split, feature, expected)
    assert (finding.found, finding.count) == (found, count)


def test_the_error_is_one_line_and_the_report_lists_all_findings(
    faulty: Outcome,
) -> None:
    """The message has the first findings; the report has every one."""
    message = str(faulty.error)
    assert "\n" not in message
    assert "train: " in message and "more, all of them in the log" in message
    assert faulty.report["anomalies"] == len(faulty.report["findings"])
    assert isinstance(faulty.error, UserError)
    assert str(pickle.loads(pickle.dumps(faulty.error))) == message


def test_empty_split_and_too_few_rows_stop_the_run(tmp_path: Path) -> None:
    """An empty eval split has no anomaly for TFDV; the gate refuses it."""
    rows = sound_rows()
    rows["eval"] = []
    outcome = _pass_gate(tmp_path, rows, {"train": 13, "eval": 1})
    assert not load_anomalies(outcome.anomalies, "eval").anomaly_info
    assert outcome.finding("train", "the split").found == "12"
    assert outcome.finding("eval", "the split").found == "0"
    assert "data.min_rows" in str(outcome.error)


def test_schema_of_another_package_is_refused(tmp_path: Path) -> None:
    """A step whose package has another schema than the compiled pipeline stops."""
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path)
    with pytest.raises(UserError, match="compiled with abc"):
        SchemaImporter.test_call(
            schema=schema, schema_digest="abc", rating_scale="null"
        )


def test_movies_without_a_word_genre_or_year_pass_only_without_titles(
    tmp_path: Path,
) -> None:
    titles = ["", "(1995)", "!?", " ... (1995) ", "\u2764", "-"]
    rows = sound_rows()
    rows["corpus"] = [
        corpus_row(n, genres=[], year=None, title=[titles[n % len(titles)].encode()])
        for n in range(12)
    ]
    rows["eval"] = [eval_row(user, held_out_genres=[]) for user in range(12)]
    inputs = make_inputs(tmp_path, rows)
    with_titles = pass_gate(inputs, tmp_path)
    assert with_titles.finding("corpus", "title").count == 12
    assert "model.title_tokens=0" in str(with_titles.error)
    shutil.rmtree(tmp_path / "report")
    assert pass_gate(inputs, tmp_path, title_tokens=0).error is None


def test_ratings_on_their_own_scale_pass(tmp_path: Path) -> None:
    """The domain of the schema and the bins of drift are those of the scale."""
    scale = (1.0, 10.0, 1.0)
    rows = sound_rows()
    for row in (*rows["train"], *rows["eval"]):
        row[features.RATINGS] = [1.0, 7.0, 10.0, 9.0]
    rows["eval"][0][features.HELD_OUT_RATINGS] = [10.0]
    inputs = make_inputs(tmp_path, rows, scale)
    outcome = pass_gate(inputs, tmp_path, max_skew={"ratings": 0.1}, rating_scale=scale)
    assert outcome.error is None
    assert outcome.report["skew"]["divergences"] == {"ratings": 0.0}
