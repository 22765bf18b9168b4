"""Writes the SavedModel that is evaluated, checked and pushed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from numpy.typing import NDArray

from trainer import features as f
from trainer.input_pipeline import Corpus
from trainer.model import TwoTowerModel
from trainer.popularity import PopularityRanking
from trainer.retrieval_index import BruteForceIndex
from trainer.serving_model import Judgement, ServingModel, ServingOptions
from trainer.trained_events import TrainedEvents
from trainer.transform_graph import TransformGraph
from trainer.user_store import TimelineLookup, UserStore

# What `evaluate` reads of an eval row.
_EVAL_FEATURES = (
    f.USER_ID,
    f.AGE,
    f.GENDER,
    f.OCCUPATION,
    f.MOVIE_IDS,
    f.RATINGS,
    f.TIMESTAMPS,
    f.SEEN_MOVIE_IDS,
    f.HELD_OUT_MOVIE_IDS,
)


def export_model(
    model: TwoTowerModel,
    embeddings: NDArray[np.float32],
    corpus: Corpus,
    store: UserStore,
    trained_events: TrainedEvents,
    *,
    tft_output: tft.TFTransformOutput,
    config: dict[str, Any],
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
      config: See `trainer.training.run_fn`.
      path: Folder of the SavedModel.
    """
    raw_spec = tft_output.raw_feature_spec()
    options = ServingOptions(
        max_history=config["data"]["window_length"],
        top_k=max(config["eval"]["top_k"]),
        exclude_seen=config["eval"]["exclude_seen"],
    )
    serving = ServingModel(
        model,
        BruteForceIndex(embeddings, corpus),
        TimelineLookup(store),
        Judgement(PopularityRanking(corpus.num_ratings), trained_events),
        TransformGraph(tft_output),
        raw_spec={name: raw_spec[name] for name in _EVAL_FEATURES},
        options=options,
    )
    tf.saved_model.save(serving, path, signatures=serving.signatures())
    _write_info(
        path,
        {
            "dataset": config["data"]["dataset"],
            "corpus_size": len(corpus.movie_ids),
            "num_users": len(store.user_ids),
            "embedding_dim": model.width,
            **options._asdict(),
            "tensorflow_version": tf.__version__,
        },
    )


def _write_info(path: str, info: dict[str, Any]) -> None:
    """Says what the model is beside it, for readers without TensorFlow."""
    folder = f"{path}/assets.extra"
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(f"{folder}/model_info.json", "w") as file:
        json.dump(info, file, indent=2)
