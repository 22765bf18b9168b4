"""`run_fn` of the Trainer: reads, fits, exports."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft

from pipeline.errors import UserError
from trainer import features as f
from trainer.callbacks import ProgressCallback
from trainer.export import export_model
from trainer.input_pipeline import (
    Columns,
    Corpus,
    read_columns,
    read_corpus,
    window_dataset,
)
from trainer.losses import RetrievalLoss, make_loss
from trainer.model import TwoTowerModel, build_model
from trainer.preprocessing import (
    AGE_BOUNDS,
    GENDERS,
    OCCUPATIONS,
    TITLE_VOCABULARY,
    USER_VOCABULARY,
)
from trainer.trained_events import TrainedEvents
from trainer.user_store import build_user_store

# Values of age bucket, gender and occupation; 0 is "unknown" in each.
ATTRIBUTE_SIZES = (len(AGE_BOUNDS) + 2, len(GENDERS) + 1, len(OCCUPATIONS) + 1)
_FINAL_LEARNING_RATE = 0.05  # as a fraction of the first

_TRAIN_COLUMNS = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.MOVIE_INDICES,
    f.TIMESTAMPS,
    f.NUM_CONTEXT,
    f.WINDOW_INDEX,
)
_HELD_OUT_COLUMNS = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.HELD_OUT_MOVIE_INDICES,
    f.HELD_OUT_TIMESTAMPS,
)


def run_fn(fn_args: Any) -> None:
    """Trains the two-tower model and exports it for serving.

    Args:
      fn_args: TFX's `FnArgs`. `custom_config` holds the fields of `ModelConfig`,
        `TrainConfig`, `DataConfig` and `EvalConfig` under `model`, `train`, `data` and
        `eval`.

    Raises:
      UserError: If a split is empty or training diverges.
    """
    config = fn_args.custom_config
    tft_output = tft.TFTransformOutput(fn_args.transform_output)
    spec = tft_output.transformed_feature_spec()
    train_files, corpus_files = _by_split(fn_args.train_files)
    train = read_columns(train_files, spec, _TRAIN_COLUMNS)
    corpus = read_corpus(corpus_files, spec, _num_title_tokens(tft_output, config))
    num_users = tft_output.vocabulary_size_by_name(USER_VOCABULARY)

    keras.utils.set_random_seed(config["train"]["seed"])
    model = build_model(
        corpus.features,
        num_users,
        ATTRIBUTE_SIZES,
        config["model"],
        loss=_loss(corpus, config["train"]),
        seed=config["train"]["seed"],
    )
    report = fit(model, train, config, fn_args.model_run_dir)

    held_out = read_columns(fn_args.eval_files, spec, _HELD_OUT_COLUMNS)
    store = build_user_store(train, held_out, unknown_user=num_users)
    export_model(
        model,
        corpus,
        store,
        TrainedEvents.of(train, corpus),
        tft_output=tft_output,
        config=config,
        path=fn_args.serving_model_dir,
    )
    _write_report(report, corpus, fn_args.model_run_dir)


def fit(
    model: TwoTowerModel, train: Columns, config: dict[str, Any], log_dir: str
) -> dict[str, Any]:
    """Fits the model to the windows of the train split.

    Args:
      model: An unbuilt model.
      train: Transformed train rows.
      config: See `run_fn`.
      log_dir: Where TensorBoard's event files go.

    Returns:
      Loss per epoch, targets, seconds.

    Raises:
      UserError: If the loss is not finite.
    """
    settings = config["train"]
    dataset = window_dataset(
        train, config["data"]["window_length"], settings["batch_size"], settings["seed"]
    )
    schedule = keras.optimizers.schedules.CosineDecay(
        settings["learning_rate"],
        settings["epochs"] * int(dataset.cardinality()),
        alpha=_FINAL_LEARNING_RATE,
    )
    # A batch has as many targets as it happens to have: no static shape for XLA.
    model.compile(optimizer=keras.optimizers.Adam(schedule), jit_compile=False)
    started = time.monotonic()
    history = model.fit(
        dataset,
        epochs=settings["epochs"],
        verbose=0,
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.TensorBoard(log_dir, write_graph=False),
            ProgressCallback(settings["epochs"]),
        ],
    )
    seconds = time.monotonic() - started
    losses = history.history["loss"]
    if not tf.math.is_finite(losses[-1]):
        raise UserError(
            f"Training diverged: the loss is {losses[-1]} in epoch {len(losses)}",
            "Lower train.learning_rate, which is "
            f"{settings['learning_rate']}: --set train.learning_rate=0.001",
        )
    num_targets = int((train[f.MOVIE_INDICES].lengths - train[f.NUM_CONTEXT]).sum())
    return {
        "loss": losses,
        "num_targets": num_targets,
        "train_seconds": seconds,
        "targets_per_second": num_targets * len(losses) / seconds,
    }


def _loss(corpus: Corpus, settings: dict[str, Any]) -> RetrievalLoss:
    """Makes the configured loss, and says which one it is."""
    loss = make_loss(
        settings["loss"],
        corpus.num_ratings,
        settings["num_negatives"],
        seed=settings["seed"],
    )
    logging.info("%s over %d movies", type(loss).__name__, len(corpus.movie_ids))
    return loss


def _by_split(files: list[str]) -> tuple[list[str], list[str]]:
    """Parts the Trainer's file patterns into those of `train` and of `corpus`."""
    corpus = [file for file in files if f"Split-{f.CORPUS_SPLIT}" in file]
    return [file for file in files if file not in corpus], corpus


def _num_title_tokens(tft_output: tft.TFTransformOutput, config: dict[str, Any]) -> int:
    """Size of the title vocabulary with its out-of-vocabulary bucket."""
    if not config["model"]["title_tokens"]:
        return 1
    return int(tft_output.vocabulary_size_by_name(TITLE_VOCABULARY)) + 1


def _write_report(report: dict[str, Any], corpus: Corpus, log_dir: str) -> None:
    """Writes what the summary of the run shows about training."""
    tf.io.gfile.makedirs(log_dir)
    with tf.io.gfile.GFile(f"{log_dir}/train_report.json", "w") as file:
        json.dump({**report, "corpus_size": len(corpus.movie_ids)}, file, indent=2)
