"""Writes the SavedModel that is evaluated, checked and pushed."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Final

import tensorflow as tf
import tensorflow_transform as tft
from tfx.utils import io_utils

from trainer import features as f
from trainer.base_model import (
    DATA_FINGERPRINT,
    LAST_TIMESTAMP,
    MODEL_CONFIG,
    WARM_RUNS,
    WEIGHTS,
    Start,
)
from trainer.catalogue import Catalogue
from trainer.cold_start import embed_corpus
from trainer.config import TrainerConfig, to_json
from trainer.held_out_ranking import HeldOutRanking
from trainer.input_pipeline import TrainingData, files_of_split, read_columns
from trainer.model import TwoTowerModel
from trainer.model_identity import model_id
from trainer.movielens import RatingScale
from trainer.popularity import PopularityRanking
from trainer.preprocessing import TransformGraph
from trainer.query_encoder import QueryEncoder
from trainer.retrieval_index import make_index
from trainer.serving_contract import MODEL_INFO_FILE
from trainer.serving_model import ServingModel
from trainer.trained_events import TrainedEvents
from trainer.user_store import TimelineLookup, build_user_store
from trainer.warm_start import weight_names

_HELD_OUT_COLUMNS: Final = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.HELD_OUT_MOVIE_INDICES,
    f.HELD_OUT_RATINGS,
    f.HELD_OUT_TIMESTAMPS,
)
_KNOWN_COLUMNS: Final = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.MOVIE_INDICES,
    f.RATINGS,
    f.TIMESTAMPS,
    f.SEEN_MOVIE_INDICES,
)


def export_model(
    model: TwoTowerModel,
    data: TrainingData,
    config: TrainerConfig,
    fn_args: Any,
    start: Start,
) -> None:
    """Exports a trained model with all that it needs to serve.

    Args:
      model: The trained towers.
      data: What the model was trained on.
      config: What the Trainer was given.
      fn_args: TFX's `FnArgs`: the Transform graph, the splits eval and known, whose
        events the served timelines include, and `serving_model_dir`.
      start: What training started from.
    """
    corpus, train = data.corpus, data.train
    tft_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    spec = tft_output.transformed_feature_spec()
    held_out_files = files_of_split(fn_args.eval_files, f.EVAL_SPLIT)
    known_files = files_of_split(fn_args.eval_files, f.KNOWN_SPLIT)
    store = build_user_store(
        train,
        read_columns(held_out_files, spec, _HELD_OUT_COLUMNS),
        read_columns(known_files, spec, _KNOWN_COLUMNS, may_be_empty=True),
        unknown_user=data.num_users,
        max_events=config.window_length,
    )
    catalogue = Catalogue(corpus)
    embeddings = embed_corpus(model, corpus.features, train, config)
    index = make_index(
        embeddings, catalogue.attributes, config.index, config.train.seed
    )
    encoder = QueryEncoder(model, index.embeddings_of, config.window_length)
    transform = TransformGraph(tft_output)
    top_k = max(config.top_k)
    held_out_ranking = HeldOutRanking(
        encoder,
        index,
        catalogue,
        transform,
        raw_spec=tft_output.raw_feature_spec(),
        popularity=PopularityRanking(corpus.num_ratings),
        trained_events=TrainedEvents.of(
            train, corpus, start.base.trained_events if start.base else None
        ),
        top_k=top_k,
        exclude_seen=config.exclude_seen,
    )
    serving = ServingModel(
        encoder,
        index,
        catalogue,
        TimelineLookup(store),
        transform,
        held_out_ranking=held_out_ranking,
        limits=config.limits,
    )
    path = fn_args.serving_model_dir
    tf.saved_model.save(serving, path, signatures=serving.signatures())
    info = {
        "model_id": model_id(path),
        "dataset": config.dataset,
        "corpus_size": len(corpus.movie_ids),
        "num_users": len(store.user_ids),
        "embedding_dim": model.width,
        "max_history": config.window_length,
        "rating_scale": dataclasses.astuple(RatingScale.of(config.rating_scale)),
        "top_k": top_k,
        "index": {"kind": index.kind, **index.parameters},
        "exclude_seen": config.exclude_seen,
        "limits": dataclasses.asdict(config.limits) | {"max_k": serving.max_k},
        "tensorflow_version": tf.__version__,
        DATA_FINGERPRINT: start.data.fingerprint,
        LAST_TIMESTAMP: start.data.last,
        MODEL_CONFIG: to_json(config.model),
        WARM_RUNS: start.base.warm_runs + 1 if start.base else 0,
        WEIGHTS: weight_names(model),
    }
    info_path = os.path.join(path, MODEL_INFO_FILE)
    io_utils.write_string_file(info_path, json.dumps(info, indent=2))
