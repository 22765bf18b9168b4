"""The life of a rehearsal: what is done once, what is kept, and what it adds up to."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.rehearse import _split
from pipeline.config import DataConfig, PipelineConfig
from pipeline.config.loading import dump
from pipeline.retraining.prequential import METRICS, POPULARITY, Prequential
from pipeline.retraining.rehearsal import page, worker
from pipeline.retraining.rehearsal.folder import Key, Record, RehearsalFolder
from pipeline.retraining.rehearsal.results import clustered, summarize
from pipeline.retraining.rehearsal.session import Split, rehearse
from pipeline.retraining.rehearsal.worker import Worker, policy_config
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.served_versions import make_model
from trainer import progress
from trainer.errors import UsageError, UserError
from trainer.train_report import TRAIN_REPORT_FILE

SPANS = ["1", "2", "3", "4"]
SEEDS = 2


class KilledError(Exception):
    """Stands for the end of the process."""


class StubbedWorker(Worker):
    """Writes small files in place of models, and made-up values in place of ranks.

    Attributes:
      units: What was done, also by other workers on the folder.
    """

    units: list[str]
    kill_after: int = 1000

    def measure(self, span: str) -> None:
        self._begin(f"measure {span}")
        models = sorted(self.folder.live_models(self.record))
        for model in models:
            assert (
                self.folder.live_models(self.record)[model] / "saved_model.pb"
            ).exists()
        if span == SPANS[1]:
            models = [model for model in models if model.startswith("never")]
        users = np.array([b"u%d" % user for user in range(int(span) * 5)], object)
        rng = np.random.default_rng(int(span))
        gains = {"warm": 0.2, "cold": 0.1, "never": 0.0}
        values = rng.uniform(0, 0.5, (len(METRICS), len(models) + 1, len(users)))
        for column, model in enumerate(models):
            values[:, column] += gains[model.partition("-")[0]]
        found = Prequential(
            rankers=(*models, POPULARITY),
            user_ids=users,
            values=values,
            num_queries=len(users),
            num_events=len(users),
            num_users=len(users),
            unknown_users=dict.fromkeys(models, 0),
            unknown_movies=dict.fromkeys((*models, POPULARITY), 0),
            trained_on=dict.fromkeys(models, 0),
            seconds=0.5,
        )
        self.note(span, found, 100, 0.5)

    def _run_steps(self, span: str, policy: str, seed: int) -> progress.Event:
        self._begin(f"train {span} {policy} {seed}")
        work = self.folder.work / f"{span}-{policy}-{seed}"
        make_model(work / "model" / "Format-Serving", f"{span} {policy} {seed}")
        report = {"train_seconds": 2.0 * seed, "loss": [1.0], "num_targets": 10}
        (work / "run").mkdir()
        (work / "run" / TRAIN_REPORT_FILE).write_text(json.dumps(report))
        uris = {"model": work / "model", "model_run": work / "run"}
        outputs = {key: {"uri": str(path)} for key, path in uris.items()}
        return {"seconds": 3.0, "outputs": outputs}

    def _begin(self, unit: str) -> None:
        if len(self.units) == self.kill_after:
            raise KilledError
        self.units.append(unit)


def _new(path: Path) -> RehearsalFolder:
    folder = RehearsalFolder(path)
    path.mkdir()
    config = PipelineConfig()
    folder.config.write_text(dump(config))
    key = Key.of(config, data="0", spans="4", start="", seeds=SEEDS)
    folder.write(Record(dataclasses.asdict(key), SPANS))
    return folder


def _worker(folder: RehearsalFolder, units: list[str], kill_after: int) -> Worker:
    stubbed = StubbedWorker(folder, folder.spans)
    stubbed.units, stubbed.kill_after = units, kill_after
    return stubbed


def _finished(folder: RehearsalFolder) -> Record:
    _worker(folder, [], 1000).run()
    record = folder.read()
    assert record is not None and record.is_done
    return record


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[RehearsalFolder, Record]:
    folder = _new(tmp_path_factory.mktemp("done") / "r")
    return folder, _finished(folder)


def test_a_killed_rehearsal_does_nothing_twice(
    tmp_path: Path, done: tuple[RehearsalFolder, Record]
) -> None:
    folder = _new(tmp_path / "r")
    units: list[str] = []
    for kill_after in range(1, 100):
        try:
            _worker(folder, units, kill_after).run()
        except KilledError:
            # What a process pushed last may not be recorded.
            make_model(folder.serving_dir("warm-1") / "99999999999", "unrecorded")
            continue
        break
    whole = [
        *(f"train 1 never {seed}" for seed in (1, 2)),
        *(
            unit
            for span in SPANS[1:3]
            for unit in (
                f"measure {span}",
                *(f"train {span} {p} {s}" for p in ("warm", "cold") for s in (1, 2)),
            )
        ),
        "measure 4",
    ]
    assert units == whole
    record = folder.read()
    assert record is not None
    assert summarize(folder, record) == summarize(*done)


def test_a_process_does_some_spans_and_another_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_MAX_SPANS", 3)
    folder = _new(tmp_path / "r")
    done = []
    for _ in range(2):
        _worker(folder, [], 1000).run()
        record = folder.read()
        assert record is not None
        done.append([span for span in SPANS if record.is_finished(span)])
    assert done == [SPANS[:3], SPANS]


def test_only_live_models_and_values_are_kept(
    done: tuple[RehearsalFolder, Record],
) -> None:
    folder, record = done
    assert not folder.work.exists()
    versions = {p.parent.name: p.name for p in (folder.path / "serving").glob("*/*")}
    assert versions == record.live
    assert len(record.live) == 3 * SEEDS
    model = folder.live_models(record)["warm-2"] / "saved_model.pb"
    assert "3 warm 2 " in model.read_text()
    assert (folder.live_models(record)["never-1"] / "saved_model.pb").read_text()


def test_values_of_policies_are_means_over_seeds_and_users(
    done: tuple[RehearsalFolder, Record],
) -> None:
    folder, record = done
    result = summarize(folder, record)
    assert [span["name"] for span in result["spans"]] == SPANS[1:]
    users, values = folder.values("4")
    rankers = record.measured["4"]["rankers"]
    expected = np.mean([values[0, rankers.index(f"warm-{seed}")] for seed in (1, 2)])
    value, low, high = result["spans"][-1]["quality"]["warm"]["recall@10"]
    assert value == pytest.approx(expected, abs=1e-6)
    assert low < value < high
    # All policies have one model at first.
    first = result["spans"][0]
    assert first["quality"]["warm"] == first["quality"]["never"]
    assert [(d["first"], d["second"]) for d in first["differences"]] == [
        *(("cold", "popularity"), ("never", "popularity"))
    ]
    gain = next(d for d in result["differences"] if d["second"] == "cold")
    assert gain["users"] == 15 + 20
    assert gain["mrr"]["value"][0] == pytest.approx(0.1, abs=0.1)
    assert len(gain["mrr"]["by_seed"]) == SEEDS
    assert result["cost"]["warm"]["trainings"] == 2
    assert result["cost"]["warm"]["train_seconds"] == pytest.approx(6.0)


def test_intervals_take_a_user_of_many_spans_as_one() -> None:
    rng = np.random.default_rng(1)
    own = rng.normal(size=50)
    independent = clustered(own, np.arange(50))
    assert independent[1] == pytest.approx(own.std(ddof=1) / 50**0.5)
    repeated = clustered(np.repeat(own, 4), np.repeat(np.arange(50), 4))
    assert repeated == pytest.approx(independent)
    assert clustered(np.ones(3), np.zeros(3)) == (1.0, np.inf)


def test_the_page_shows_all_and_loads_nothing(
    done: tuple[RehearsalFolder, Record],
) -> None:
    folder, record = done
    record = dataclasses.replace(record, result=summarize(folder, record))
    text = page.render(record, "<r>")
    assert text.count("<svg ") == 4
    assert "Rehearsal &lt;r&gt;" in text
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert all(link.startswith("#") for link in links)
    for label in ("retrained warm", "never retrained", "popularity"):
        assert label in text


def test_a_policy_changes_nothing_but_its_start() -> None:
    config = PipelineConfig()
    warm, cold = (policy_config(config, "3", policy, 2) for policy in ("warm", "cold"))
    assert warm.train.seed == cold.train.seed == config.train.seed + 1
    assert warm.data == cold.data == DataConfig(last_span="3")
    assert (warm.train.warm_start, cold.train.warm_start) == ("auto", "never")
    assert dataclasses.replace(cold.train, warm_start="auto") == warm.train


def test_another_rehearsal_needs_another_name(tmp_path: Path) -> None:
    key = Key.of(PipelineConfig(), data="0", spans="4", start="", seeds=1)
    as_read = json.loads(json.dumps(dataclasses.asdict(key)))
    assert key.difference(as_read) is None
    assert key.difference({**as_read, "data": "1"}) == "with other ratings"
    assert key.difference({**as_read, "seeds": 3}) == "with seeds 3"
    assert key.difference({**as_read, "code": "x"}) == "by another version of the code"
    as_read["config"]["train"]["epochs"] = 3
    assert key.difference(as_read) == "with train.epochs 3, not 9"
    with pytest.raises(UsageError, match="no name for a rehearsal"):
        RehearsalFolder.named(tmp_path, "../r")


@pytest.mark.parametrize("text", ["{", '{"format": 2}', '{"format": 1, "x": 2}'])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "rehearsal.json").write_text(text)
    with pytest.raises(UserError, match="is damaged"):
        RehearsalFolder(tmp_path).read()


def test_the_option_says_how_to_split() -> None:
    assert str(_split("monthly", None)) == "monthly"
    assert _split("8", None) == Split(num_spans=8)
    assert not _split(None, None).is_given
    for bad in ("daily", "0", "-3", "1.5"):
        with pytest.raises(UsageError, match="neither a period nor a number"):
            _split(bad, None)


def test_what_cannot_be_rehearsed_is_refused(tmp_path: Path) -> None:
    data = write_csv(tmp_path / "in", [(1, 1, 4, 10), (2, 1, 4, 20), (1, 2, 4, 30)])

    def refused(config: DataConfig, split: Split) -> str:
        with pytest.raises(UserError) as error:
            rehearse(
                PipelineConfig(data=config),
                *(tmp_path / "ws", split, lambda line: None),
                data_dir=data,
            )
        return str(error.value)

    config = DataConfig(dataset="in")
    assert "2 spans, but a rehearsal needs 3" in refused(config, Split(num_spans=2))
    assert "has 0 spans" in refused(config, Split())
    last = DataConfig(dataset="in", last_span="2")
    assert "a rehearsal sets it" in refused(last, Split(num_spans=3))
