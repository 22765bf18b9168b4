"""Writes the SavedModel that is evaluated, checked and pushed."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from trainer.config import TrainerConfig
from trainer.held_out_ranking import (
    EVALUATED_FEATURES,
    EvaluationReferences,
    HeldOutRanking,
)
from trainer.input_pipeline import Corpus
from trainer.model import TwoTowerModel
from trainer.popularity import PopularityRanking
from trainer.query_encoder import QueryEncoder
from trainer.retrieval_index import BruteForceIndex
from trainer.serving_contract import MODEL_INFO_FILE
from trainer.serving_model import ServingModel
from trainer.trained_events import TrainedEvents
from trainer.transform_graph import TransformGraph
from trainer.user_store import TimelineLookup, UserStore


def export_model(
    model: TwoTowerModel,
    embeddings: NDArray[np.float32],
    corpus: Corpus,
    store: UserStore,
    trained_events: TrainedEvents,
    *,
    tft_output: tft.TFTransformOutput,
    config: TrainerConfig,
    path: str,
) -> None:
    """Exports a trained model with all that it needs to serve.

    Args:
      model: The trained towers.
      embeddings: Of the corpus, see `trainer.cold_start.embed_corpus`.
      corpus: The movies.
      store: The users' timelines.
      trained_events: What the model was trained on.
      tft_output: The Transform graph.
      config: What the Trainer was given.
      path: Folder of the SavedModel.
    """
    raw_spec = tft_output.raw_feature_spec()
    index = BruteForceIndex(embeddings, corpus)
    encoder = QueryEncoder(model, index.embeddings, config.window_length)
    transform = TransformGraph(tft_output)
    held_out_ranking = HeldOutRanking(
        encoder,
        index,
        transform,
        {name: raw_spec[name] for name in EVALUATED_FEATURES},
        EvaluationReferences(PopularityRanking(corpus.num_ratings), trained_events),
        top_k=max(config.top_k),
        exclude_seen=config.exclude_seen,
    )
    serving = ServingModel(
        encoder, index, TimelineLookup(store), transform, held_out_ranking
    )
    tf.saved_model.save(serving, path, signatures=serving.signatures())
    _write_info(
        path,
        {
            "dataset": config.dataset,
            "corpus_size": len(corpus.movie_ids),
            "num_users": len(store.user_ids),
            "embedding_dim": model.width,
            "max_history": config.window_length,
            "top_k": max(config.top_k),
            "exclude_seen": config.exclude_seen,
            "tensorflow_version": tf.__version__,
        },
    )


def _write_info(path: str, info: dict[str, Any]) -> None:
    """Writes the description of the model, for readers without TensorFlow."""
    file_path = f"{path}/{MODEL_INFO_FILE}"
    tf.io.gfile.makedirs(os.path.dirname(file_path))
    with tf.io.gfile.GFile(file_path, "w") as file:
        json.dump(info, file, indent=2)
