"""`run_fn` of the Trainer: reads, fits, exports."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray
from tfx.utils import io_utils

from trainer import features as f
from trainer import progress
from trainer.atomic_files import sync_tree
from trainer.checkpoints import checkpoint_folder, remove_checkpoints
from trainer.config import TrainerConfig, from_json
from trainer.context import ModelContext
from trainer.devices import make_strategy, precision, read_cluster
from trainer.export import export_model
from trainer.fitting import fit
from trainer.input_pipeline import TrainingData, read_training_data
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel
from trainer.movielens import AGE_BOUNDS, GENDERS, OCCUPATIONS, RatingScale
from trainer.train_report import TRAIN_REPORT_FILE, FitReport, TrainReport
from trainer.tuning.hyperparameters import format_values, from_keras_tuner
from trainer.windows import Windows, hold_out_newest, make_windows

# Values of age bucket, gender and occupation; 0 is "unknown" in each.
ATTRIBUTE_SIZES = (len(AGE_BOUNDS) + 2, len(GENDERS) + 1, len(OCCUPATIONS) + 1)


def run_fn(fn_args: Any) -> None:
    """Trains the two-tower model and exports it for serving.

    Args:
      fn_args: TFX's `FnArgs`. `custom_config` is a `TrainerConfig` as JSON;
        `hyperparameters` is None, or what the Tuner chose for some of its keys.

    Raises:
      UserError: If a split is empty, a part of the model cannot be found or training
        diverges.
    """
    config = from_json(TrainerConfig, fn_args.custom_config)
    tuned = from_keras_tuner((fn_args.hyperparameters or {}).get("values", {}))
    if tuned:
        config = config.with_values(tuned)
        logging.info("Values from the Tuner: %s", format_values(tuned))
    cluster = read_cluster()
    strategy = make_strategy(cluster)
    data = read_training_data(fn_args, config.model)

    log_dir = fn_args.model_run_dir
    inputs = [fn_args.transform_graph_path, *fn_args.train_files]
    checkpoints = checkpoint_folder(log_dir, config, inputs)
    with strategy.scope():
        model, fit_report = train_model(
            data,
            config,
            log_dir,
            checkpoints=checkpoints,
            is_chief=cluster.is_chief,
        )
    if not cluster.is_chief:
        logging.info("This worker has finished; the chief exports the model")
        return
    export_model(model, data, config, fn_args)
    report = TrainReport(
        **dataclasses.asdict(fit_report),
        corpus_size=len(data.corpus.movie_ids),
        tuned=tuned,
    )
    path = os.path.join(log_dir, TRAIN_REPORT_FILE)
    io_utils.write_string_file(path, json.dumps(dataclasses.asdict(report), indent=2))
    for folder in (fn_args.serving_model_dir, log_dir):
        if "://" not in folder:
            sync_tree(Path(folder))
    remove_checkpoints(checkpoints)


def train_model(
    data: TrainingData,
    config: TrainerConfig,
    log_dir: str,
    *,
    checkpoints: str | None = None,
    is_chief: bool = True,
) -> tuple[TwoTowerModel, FitReport]:
    """Builds the model that the configuration describes, and fits it.

    Args:
      data: What to train on.
      config: What the Trainer was given.
      log_dir: Folder of TensorBoard's event files.
      checkpoints: See `trainer.fitting.fit`.
      is_chief: See `trainer.fitting.fit`.

    Returns:
      The trained model, and how training went.
    """
    train = config.train
    keras.utils.set_random_seed(train.seed)
    windows = make_windows(data.train, config.window_length)
    context = ModelContext(
        config=config.model,
        movies=data.corpus.features,
        num_users=data.num_users,
        attribute_sizes=ATTRIBUTE_SIZES,
        window_length=config.window_length,
        time_boundaries=time_boundaries(windows, config.model.time_buckets),
        seed=train.seed,
        rating_scale=RatingScale.of(config.rating_scale),
    )
    validation: Windows | None = None
    if train.validation_queries:
        windows, validation = hold_out_newest(
            windows, data.train[f.WINDOW_INDEX], train.validation_queries, train.seed
        )
        if not len(validation.movies):
            validation = None
            text = "no user has enough events to validate on: all epochs are trained"
            progress.emit("train", text=text)
            logging.warning("train.validation_queries has no effect, since %s", text)
    with precision(train.precision):
        model = TwoTowerModel(
            context,
            make_loss(LossContext(train, data.corpus.num_ratings)),
            train.rating_weight,
            train.self_supervised_weight,
        )
    logging.info("History encoder: %s", config.model.history_encoder)
    return model, fit(
        *(model, windows, validation, train, log_dir),
        checkpoints=checkpoints,
        is_chief=is_chief,
    )


def time_boundaries(windows: Windows, num_buckets: int) -> NDArray[np.int64]:
    """Divides time into buckets of equally many training events.

    Returns:
      Ascending timestamps between the buckets, `[num_buckets - 1]` or fewer: buckets
      that would be empty are left out.
    """
    times = windows.timestamps[windows.is_target]
    shares = np.linspace(0, 1, num_buckets + 1)[1:-1]
    return np.unique(np.quantile(times, shares).astype(np.int64))
