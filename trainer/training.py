"""`run_fn` of the Trainer: reads, fits, exports."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from numpy.typing import NDArray
from tfx.utils import io_utils

from trainer import features as f
from trainer import progress
from trainer.atomic_files import sync_tree
from trainer.base_model import BaseModel, ColdStartError, Start
from trainer.checkpoints import checkpoint_folder, remove_checkpoints
from trainer.config import TrainConfig, TrainerConfig, from_json
from trainer.context import ModelContext
from trainer.devices import make_strategy, precision, read_cluster, visible_gpus
from trainer.export import export_model
from trainer.fitting import fit
from trainer.input_pipeline import TrainingData, read_training_data
from trainer.losses import LossContext, make_loss
from trainer.model import TwoTowerModel
from trainer.movielens import AGE_BOUNDS, GENDERS, OCCUPATIONS, RatingScale
from trainer.target_weights import TargetWeights
from trainer.train_report import TRAIN_REPORT_FILE, FitReport, TrainReport
from trainer.tuning.hyperparameters import format_values, from_keras_tuner
from trainer.warm_start import carry_over, check_settings
from trainer.windows import Sampling, Windows, hold_out_newest, make_windows
from trainer.workers.cluster import JOB_VARIABLE, train_on_cluster
from trainer.workers.config import requested_workers
from trainer.workers.local import train_locally

# Values of age bucket, gender and occupation; 0 is "unknown" in each.
ATTRIBUTE_SIZES = (len(AGE_BOUNDS) + 2, len(GENDERS) + 1, len(OCCUPATIONS) + 1)


def run_fn(fn_args: Any) -> None:
    """Trains the model by as many processes or pods as `train.workers` says.

    Args:
      fn_args: See `train_and_export`.

    Raises:
      UserError: See `train_and_export`; or a worker was killed.
    """
    num_workers = requested_workers()
    if job := os.environ.get(JOB_VARIABLE):
        train_on_cluster(fn_args, json.loads(job))
    elif num_workers > 1:
        train_locally(fn_args, num_workers, gpus=visible_gpus())
    else:
        train_and_export(fn_args)


def train_and_export(fn_args: Any) -> None:
    """Trains the two-tower model and exports it for serving.

    With several workers (`TF_CONFIG`) each of them calls it.

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

    start = Start.load(fn_args.base_model) if fn_args.base_model else Start()

    log_dir = fn_args.model_run_dir
    inputs = [fn_args.transform_graph_path, *fn_args.train_files, start.model_id]
    checkpoints = checkpoint_folder(log_dir, config, inputs)
    with strategy.scope():
        trained = train_model(
            data,
            config,
            log_dir,
            start=start,
            checkpoints=checkpoints,
            is_chief=cluster.is_chief,
        )
    if not cluster.is_chief:
        logging.info("This worker has finished; the chief exports the model")
        return
    export_model(trained.model, data, config, fn_args, trained.start)
    report = TrainReport(
        **dataclasses.asdict(trained.report),
        corpus_size=len(data.corpus.movie_ids),
        workers=cluster.num_workers,
        tuned=tuned,
        base_version=trained.start.version or None,
        start=trained.start.reason,
        carried=trained.carried,
    )
    path = os.path.join(log_dir, TRAIN_REPORT_FILE)
    io_utils.write_string_file(path, json.dumps(dataclasses.asdict(report), indent=2))
    for folder in (fn_args.serving_model_dir, log_dir):
        if "://" not in folder:
            sync_tree(Path(folder))
    remove_checkpoints(checkpoints)


class Trained(NamedTuple):
    """A trained model, and how it came about.

    Attributes:
      model: The model.
      report: How training went.
      start: What it started from: a cold start if the earlier model did not fit.
      carried: Vocabulary to how many of its tokens the earlier model knew, and how many
        it has; empty for a cold start.
    """

    model: TwoTowerModel
    report: FitReport
    start: Start
    carried: Mapping[str, tuple[int, int]]


def train_model(
    data: TrainingData,
    config: TrainerConfig,
    log_dir: str,
    *,
    start: Start | None = None,
    checkpoints: str | None = None,
    is_chief: bool = True,
) -> Trained:
    """Builds the model that the configuration describes, and fits it.

    Args:
      data: What to train on.
      config: What the Trainer was given.
      log_dir: Folder of TensorBoard's event files.
      start: What training starts from; None for a cold start.
      checkpoints: See `trainer.fitting.fit`.
      is_chief: See `trainer.fitting.fit`.

    Raises:
      ColdStartError: The earlier model cannot be continued, and `train.warm_start` is
        "always".
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
        num_events=int(windows.is_target.sum()),
    )
    with precision(train.precision):
        model = TwoTowerModel(
            context,
            make_loss(LossContext(train, data.corpus.num_ratings)),
            train.rating_weight,
            train.self_supervised_weight,
            TargetWeights.of(train.target_weight, context.rating_scale),
        )
    logging.info("History encoder: %s", config.model.history_encoder)
    start, carried = _continue(model, start or Start(), data, config)
    validation = sampling = None
    if start.base is None:
        windows, validation = _hold_out(windows, data, train)
    else:
        # Its events are few and mostly known to the base: nothing is held out of them.
        train = dataclasses.replace(
            train, epochs=train.warm_epochs, learning_rate=train.warm_learning_rate
        )
        windows, sampling = _sample(windows, start.base, train.warm_replay)
    report = fit(
        *(model, windows, validation, train, log_dir),
        sampling=sampling,
        checkpoints=checkpoints,
        is_chief=is_chief,
    )
    return Trained(model, report, start, carried)


def _continue(
    model: TwoTowerModel, start: Start, data: TrainingData, config: TrainerConfig
) -> tuple[Start, dict[str, tuple[int, int]]]:
    """Gives the model the weights that it starts from; returns the start as it is.

    Raises:
      ColdStartError: They do not fit, and `train.warm_start` is "always".
    """
    if start.base is None:
        return start, {}
    carried: dict[str, tuple[int, int]] = {}
    try:
        check_settings(start.base, config)
        carried = carry_over(model, start.base, data.vocabularies)
    except ColdStartError as error:
        if config.train.warm_start == "always":
            raise
        logging.warning("Cold start: %s", error.message)
        text = f"cold start: {error.message}"
        start = dataclasses.replace(
            start, version="", model_id="", base=None, reason=text
        )
    else:
        text = f"warm start from version {start.version}"
    progress.emit("train", text=text)
    return start, carried


def _sample(
    windows: Windows, base: BaseModel, share: float
) -> tuple[Windows, Sampling | None]:
    """Takes all windows with a target that is newer than the base, and some others.

    Of the former only these targets are learned: the base knows the others by heart,
    and to repeat them only makes it overfit.
    """
    if base.last_timestamp is None:
        return windows, None
    is_new = windows.is_target & (windows.timestamps > base.last_timestamp)
    has_new = is_new.any(axis=1)
    if not has_new.any():
        return windows, None
    targets = np.where(has_new[:, None], is_new, windows.is_target)
    return windows._replace(is_target=targets), Sampling(has_new, share)


def _hold_out(
    windows: Windows, data: TrainingData, train: TrainConfig
) -> tuple[Windows, Windows | None]:
    """Holds out the queries of the validation, if there are any."""
    if not train.validation_queries:
        return windows, None
    rest, validation = hold_out_newest(
        windows, data.train[f.WINDOW_INDEX], train.validation_queries, train.seed
    )
    if len(validation.movies):
        return rest, validation
    text = "no user has enough events to validate on: all epochs are trained"
    progress.emit("train", text=text)
    logging.warning("train.validation_queries has no effect, since %s", text)
    return rest, None


def time_boundaries(windows: Windows, num_buckets: int) -> NDArray[np.int64]:
    """Divides time into buckets of equally many training events.

    Returns:
      Ascending timestamps between the buckets, `[num_buckets - 1]` or fewer: buckets
      that would be empty are left out.
    """
    times = windows.timestamps[windows.is_target]
    shares = np.linspace(0, 1, num_buckets + 1)[1:-1]
    return np.unique(np.quantile(times, shares).astype(np.int64))
