from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.config import PipelineConfig, yaml_layers
from pipeline.config import loading as config_loading
from pipeline.config.loading import dump, load
from pipeline.secret_text import redacted
from trainer.errors import UsageError


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_without_layers_it_is_the_defaults() -> None:
    assert load() == PipelineConfig()


def test_later_layers_win_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path, "train:\n  epochs: 3\n  batch_size: 8\n", "1.yaml")
    second = write(tmp_path, "train:\n  epochs: 4\nmodel:\n", "2.yaml")
    config = load([first, second], ["train.learning_rate=1e-2", "name=mine"])
    assert (config.train.epochs, config.train.batch_size) == (4, 8)
    assert config.train.learning_rate == 0.01
    assert config.name == "mine"
    assert config.model == PipelineConfig().model
    assert load([first, second], ["train.epochs=5"]).train.epochs == 5


def test_user_files_win_over_a_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = tmp_path / "presets" / "ml-tiny.yaml"
    preset.parent.mkdir()
    preset.write_text("train:\n  epochs: 7\n  batch_size: 9\n")
    monkeypatch.setattr(config_loading.resources, "files", lambda _: tmp_path)
    mine = write(tmp_path, "train:\n  epochs: 8\n")
    config = load([mine], ["data.dataset=ml-tiny"])
    assert (config.train.epochs, config.train.batch_size) == (8, 9)
    assert load().train.batch_size == PipelineConfig().train.batch_size


def test_packaged_presets_are_valid_and_given_by_name(tmp_path: Path) -> None:
    folder = Path(config_loading.__file__).parent / "presets"
    for preset in sorted(folder.glob("*.yaml")):
        assert load([Path(preset.stem)]) != load()
    config = load([Path("tfrs-quickstart")], ["train.epochs=4"])
    assert (config.train.loss, config.train.epochs) == ("in_batch_softmax", 4)
    with pytest.raises(UsageError, match="quickstart cannot be read: No such file"):
        load([Path("quickstart")])


def test_a_named_dataset_wins_over_the_default_one(tmp_path: Path) -> None:
    assert load(default_dataset="mine").data.dataset == "mine"
    named = load([], ["data.dataset=ml-1m"], default_dataset="mine")
    assert named.data.dataset == "ml-1m"
    file = write(tmp_path, "data:\n  seed: 1\n")
    config = load([file], default_dataset="mine")
    assert (config.data.dataset, config.data.seed) == ("mine", 1)


def test_a_mapping_in_a_file_replaces_the_default(tmp_path: Path) -> None:
    mine = write(tmp_path, "eval:\n  floors:\n    mrr: 0.1\n")
    assert load([mine]).eval.floors == {"mrr": 0.1}


def test_set_changes_or_removes_one_entry_of_a_mapping() -> None:
    changed = load([], ["eval.floors.mrr=0.1", "eval.floors.ndcg@10=null"]).eval.floors
    assert changed == {"hit_rate@10": 0.02, "mrr": 0.1}


def test_dump_can_be_read_back(tmp_path: Path) -> None:
    config = load(
        [], ["train.learning_rate=3e-5", "serving.max_latency_ms=null", "name=a1"]
    )
    assert load([write(tmp_path, dump(config))]) == config
    assert config != PipelineConfig()


@pytest.mark.parametrize(
    ("assignment", "parts"),
    [
        ("train.epohs=3", ["'train.epohs'", "--set train.epohs=3", "train.epochs?"]),
        ("trian.epochs=3", ["'trian'", "Did you mean train?", "serving"]),
        ("foo=1", ["'foo'", "Allowed: name, data, model, train, tune, eval, serving"]),
        ("train=7", ["train is 7", "section"]),
        ("train.epochs=true", ["train.epochs is true", "integer"]),
        ("train.epochs=1.5", ["train.epochs is 1.5", "integer"]),
        ("train.epochs='3'", ['train.epochs is "3"', "integer"]),
        ("train.epochs=0", ["train.epochs is 0", "greater than 0"]),
        ("train.epochs.x=3", ["train.epochs has no keys below it"]),
        ("model.dropout=2", ["model.dropout is 2", "less than 1"]),
        ("data.split=foo", ['data.split is "foo"', "'temporal_global'"]),
        ("data.min_rows.tran=1", ["'data.min_rows.tran'", "'train'"]),
        ("data.max_drift.rating=0.1", ["'data.max_drift.rating'", "'ratings'"]),
        ("data.max_skew.ratings=2", ["data.max_skew.ratings is 2", "equal to 1"]),
        ("data.window_stride=1000", ["window_stride is 1000", "window_length (100)"]),
        ("eval.floors.foo=1", ["'eval.floors.foo'", "not a metric", "recall@k"]),
        ("eval.top_k=[1,a]", ['eval.top_k.1 is "a"', "integer"]),
        ("eval.top_k=[1,a", ["not valid YAML", "'eval.top_k=[1, 10]'"]),
        ("eval.floors.mrr=.nan", ["nan", "finite"]),
        (
            "model.hidden_units=-1",
            ["model.hidden_units is -1 (--set", "it must be 'auto' or must be greater"],
        ),
        ("train.epochs", ["key.path=value"]),
        ("=3", ["key.path=value"]),
    ],
)
def test_a_wrong_set_names_the_mistake(assignment: str, parts: list[str]) -> None:
    with pytest.raises(UsageError) as raised:
        load([], [assignment])
    message = str(raised.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("train:\n  epochs: 3\n  epohs: 4\n", ["line 3", "'train.epohs'"]),
        ("train:\n  epochs: no\n", ["line 2", "train.epochs is false"]),
        ("train:\n  epochs: 3\n  epochs: 4\n", ["twice", "line 2", "line 3"]),
        ("train: 3\n", ["line 1", "train is 3"]),
        ("- 1\n", ["a list"]),
        ("train: [\n", ["not valid YAML", "line 2"]),
        ("eval:\n  floors:\n    mrr: .inf\n", ["line 3", "inf"]),
        ("eval:\n  floors: {}\n", ["line 1", "without a threshold"]),
        ("eval:\n  max_drop:\n    ndcg@7: 0.1\n", ["ndcg@7", "top_k"]),
    ],
)
def test_a_wrong_file_names_file_and_line(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        load([path])
    for part in [str(path), *parts] if "top_k" not in parts else parts:
        assert part in str(raised.value)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(UsageError) as raised:
        load([], ["train.epochs=0", "model.dropout=2"])
    assert "train.epochs" in str(raised.value)
    assert "model.dropout" in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml.*No such file"):
        load([tmp_path / "none.yaml"])


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["data.min_rating=5.5"], "the highest rating is 5 "),
        (["data.rating_scale=[1,10,1]", "data.min_rating=11"], "highest rating is 10"),
        (["data.rating_scale=[-10,10,0.25]"], "rating_scale is .*at least 0"),
        (["data.rating_scale=[0,.inf,1]"], "rating_scale.1 .* is inf. Give a finite"),
        (["data.rating_scale=[5,1,1]"], "below the lowest"),
    ],
)
def test_a_rating_scale_bounds_what_is_configured_with_it(
    assignments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load(assignments=assignments)


def test_the_rating_scale_reaches_every_step_that_needs_it() -> None:
    config = load(
        assignments=["data.rating_scale=[1,10,1]", "data.min_rating=8"],
    )
    assert config.data.min_rating == 8
    assert config.trainer_config().rating_scale == (1, 10, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train: &a {x: *a}", "an alias contains itself"),
        ("train: &a [*a]", "an alias contains itself"),
        ("train: {x: " + "[" * 30 + "]" * 30 + "}", "more than 20 levels"),
        ("[" * 5000, "nested more than 20 levels"),
        (
            "a: &a [1,1,1,1,1,1,1,1,1]\n"
            + "".join(
                f"{y}: &{y} [{','.join([f'*{x}'] * 9)}]\n"
                for x, y in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "10,000 values",
        ),
        ("train: !!python/object/apply:os.system [ls]", "apply:os.system"),
        ("train: !!set {a, b}", "has the type set"),
        ("train: {epochs: !!binary YQ==}", "train.epochs has the type binary"),
        ("train: {epochs: !!int x}", "not of its type"),
        ("train: {epochs: !!int ''}", "not of its type"),
        ("train: {epochs: !!bool 7}", "not of its type"),
        ("train: {[a]: 1}", "a key is not plain text"),
        ("train: {epochs: 1, epochs: 2}", "train.epochs is given twice"),
        ("tune: {space: {model.dropout: {min: .nan}}}", "is nan"),
        ("eval: {top_k: [1, .inf]}", "eval.top_k.1"),
        ("train: {learning_rate: 1e999}", "is inf"),
        ("train: 1\n--- \neval: 2", "another document"),
        ("a" * 100_001, "larger than 100,000 bytes"),
    ],
)
def test_yaml_that_no_configuration_needs_is_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        load([path])
    assert words in str(raised.value) and "mine.yaml" in str(raised.value)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_cannot_be_read_as_a_file_is_one_line(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_layers, "_PIPE_SECONDS", 0.1)
    make(tmp_path / "mine.yaml")
    with pytest.raises(UsageError, match="mine.yaml cannot be read"):
        load([tmp_path / "mine.yaml"])


def test_a_pipe_is_read_to_its_end() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"train: {epochs: 3}")
    os.close(writer)
    assert load([Path(f"/dev/fd/{reader}")]).train.epochs == 3
    os.close(reader)


def test_aliases_and_merged_mappings_may_be_used(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("train: &base {epochs: 3}\neval: {<<: *base}\n")
    with pytest.raises(UsageError, match="There is no key 'eval.epochs'.*mine.yaml"):
        load([path])


def test_a_date_is_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("data: {last_span: 2026-03-01}")
    assert load([path]).data.last_span == "2026-03-01"
    path.write_text("data: {last_span: 2026-13-45}")
    assert load([path]).data.last_span == "2026-13-45"  # spans are checked later


def test_null_is_a_value_of_columns_alone() -> None:
    config = load([], ["data.columns.rating=null", "data.max_drift.ratings=null"])
    assert config.data.columns == {"rating": None}
    assert "ratings" not in config.data.max_drift
    assert load([], ["data.columns.rating=null", "data.columns.rating=stars"])


@pytest.mark.parametrize(
    "assignment",
    [
        "kubeflow.input_base=s3://user:hunter22@bucket/data",
        "kubeflow.pipeline_root=minio://user:hunter22@bucket",
        "kubeflow.steps.Trainer.image=https://user:hunter22@registry/image",
        "kubeflow.steps.Trainer.node_selector={hf_hunter22hunter22hunter22: x}",
        "kubeflow={env: {A: 'https://user:hunter22@host'}}",
        "data.dataset=sk-hunter22hunter22hunter22",
    ],
)
def test_a_secret_is_refused_anywhere_and_not_shown(assignment: str) -> None:
    with pytest.raises(UsageError, match="looks like a secret") as refused:
        load([], [assignment])
    assert "hunter22" not in redacted(str(refused.value))


def test_a_missing_entry_of_a_list_is_named() -> None:
    with pytest.raises(UsageError, match=r"^data\.rating_scale\.2 is missing \(--set"):
        load([], ["data.rating_scale=[1,2]"])


@pytest.mark.parametrize("seed", [-1, 2**31, 2**64])
def test_a_seed_that_no_library_takes_is_refused(seed: int) -> None:
    with pytest.raises(UsageError, match=f"train.seed is {seed} .*must be"):
        load([], [f"train.seed={seed}"])
