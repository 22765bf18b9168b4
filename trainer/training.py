"""`run_fn` of the Trainer: reads, fits, exports."""

from __future__ import annotations

import json
import logging
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from trainer import features as f
from trainer.checkpoints import checkpoint_folder
from trainer.cold_start import embed_corpus
from trainer.context import ModelContext
from trainer.devices import make_strategy, precision, read_cluster
from trainer.export import ServingOptions, export_model
from trainer.fitting import FitReport, fit
from trainer.input_pipeline import Columns, Corpus, read_columns
from trainer.inputs import read_inputs
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel
from trainer.preprocessing import AGE_BOUNDS, GENDERS, OCCUPATIONS
from trainer.trained_events import TrainedEvents
from trainer.tuning.hyperparameters import decoded, merged, told
from trainer.user_store import build_user_store
from trainer.windows import Windows, hold_out_newest, make_windows

# Values of age bucket, gender and occupation; 0 is "unknown" in each.
ATTRIBUTE_SIZES = (len(AGE_BOUNDS) + 2, len(GENDERS) + 1, len(OCCUPATIONS) + 1)

_HELD_OUT_COLUMNS = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.HELD_OUT_MOVIE_INDICES,
    f.HELD_OUT_RATINGS,
    f.HELD_OUT_TIMESTAMPS,
)


def run_fn(fn_args: Any) -> None:
    """Trains the two-tower model and exports it for serving.

    Args:
      fn_args: TFX's `FnArgs`. `custom_config` holds the fields of `ModelConfig`,
        `TrainConfig`, `DataConfig` and `EvalConfig` under `model`, `train`, `data` and
        `eval`. `hyperparameters` is None, or what the Tuner chose in place of some.

    Raises:
      UserError: If a split is empty, a part of the model cannot be found or training
        diverges.
    """
    tuned = decoded((fn_args.hyperparameters or {}).get("values", {}))
    config = merged(fn_args.custom_config, tuned)
    if tuned:
        logging.info("The Tuner chose %s", told(tuned))
    cluster = read_cluster()
    strategy = make_strategy(cluster)
    train, corpus, num_users = read_inputs(fn_args)

    log_dir = fn_args.model_run_dir
    inputs = [fn_args.transform_graph_path, *fn_args.train_files]
    checkpoints = checkpoint_folder(log_dir, config, inputs)
    with strategy.scope():
        model, report = train_model(
            *(train, corpus, num_users, config, log_dir),
            checkpoints=checkpoints,
            is_chief=cluster.is_chief,
        )
    if not cluster.is_chief:
        logging.info("This worker is done: the chief exports the model")
        return
    tft_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    spec = tft_output.transformed_feature_spec()
    held_out = read_columns(fn_args.eval_files, spec, _HELD_OUT_COLUMNS)
    export_model(
        model,
        embed_corpus(model, corpus.features, train, config),
        corpus,
        build_user_store(train, held_out, unknown_user=num_users),
        TrainedEvents.of(train, corpus),
        tft_output=tft_output,
        dataset=config["data"]["dataset"],
        options=ServingOptions(
            max_history=config["data"]["window_length"],
            top_k=max(config["eval"]["top_k"]),
            exclude_seen=config["eval"]["exclude_seen"],
        ),
        path=fn_args.serving_model_dir,
    )
    _write_report(report, corpus, tuned, fn_args.model_run_dir)


def train_model(
    train: Columns,
    corpus: Corpus,
    num_users: int,
    config: dict[str, Any],
    log_dir: str,
    *,
    checkpoints: str | None = None,
    is_chief: bool = True,
) -> tuple[TwoTowerModel, FitReport]:
    """Makes the model that the configuration describes, and fits it.

    Args:
      train: Transformed rows of the train split.
      corpus: The movies.
      num_users: Users of the vocabulary.
      config: See `run_fn`.
      log_dir: Where TensorBoard's event files go.
      checkpoints: See `trainer.fitting.fit`.
      is_chief: Likewise.

    Returns:
      The trained model, and how training went.
    """
    settings = config["train"]
    keras.utils.set_random_seed(settings["seed"])
    windows = make_windows(train, config["data"]["window_length"])
    context = ModelContext(
        config=config["model"],
        movies=corpus.features,
        num_users=num_users,
        attribute_sizes=ATTRIBUTE_SIZES,
        window_length=config["data"]["window_length"],
        time_boundaries=time_boundaries(windows, config["model"]["time_buckets"]),
        seed=settings["seed"],
    )
    validation: Windows | None = None
    if settings["validation_queries"]:
        windows, validation = hold_out_newest(
            windows,
            train[f.WINDOW_INDEX],
            settings["validation_queries"],
            settings["seed"],
        )
    with precision(settings["precision"]):
        model = TwoTowerModel(
            context,
            make_loss(LossContext(settings, corpus.num_ratings)),
            settings["rating_weight"],
            settings["self_supervised_weight"],
        )
    logging.info("History encoder %s", config["model"]["history_encoder"])
    return model, fit(
        *(model, windows, validation, settings, log_dir),
        checkpoints=checkpoints,
        is_chief=is_chief,
    )


def time_boundaries(windows: Windows, num_buckets: int) -> NDArray[np.int64]:
    """Cuts time into buckets of equally many training events: `[num_buckets - 1]`.

    Buckets that would be empty (a file with one timestamp) are left out.
    """
    times = windows.timestamps[windows.is_target]
    shares = np.linspace(0, 1, num_buckets + 1)[1:-1]
    return np.unique(np.quantile(times, shares).astype(np.int64))


def _write_report(
    report: FitReport, corpus: Corpus, tuned: dict[str, Any], log_dir: str
) -> None:
    """Writes what the summary of the run shows about training."""
    tf.io.gfile.makedirs(log_dir)
    content = {
        **report._asdict(),
        "corpus_size": len(corpus.movie_ids),
        "tuned": tuned,
    }
    with tf.io.gfile.GFile(f"{log_dir}/train_report.json", "w") as file:
        json.dump(content, file, indent=2)
