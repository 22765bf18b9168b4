"""Reads the data that the Trainer and the Tuner train on."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import tensorflow_transform as tft

from trainer import features as f
from trainer.config import ModelConfig
from trainer.input_pipeline import Columns, Corpus, read_columns, read_corpus
from trainer.preprocessing import TITLE_VOCABULARY, USER_VOCABULARY

_TRAIN_COLUMNS: Final = (
    f.USER_ID,
    f.USER_INDEX,
    f.USER_ATTRIBUTE_INDICES,
    f.MOVIE_INDICES,
    f.RATINGS,
    f.TIMESTAMPS,
    f.NUM_CONTEXT,
    f.WINDOW_INDEX,
)


class TrainingData(NamedTuple):
    """The data that a model is trained on.

    Attributes:
      train: Transformed rows of the train split.
      corpus: The movies.
      num_users: Users of the vocabulary.
    """

    train: Columns
    corpus: Corpus
    num_users: int


def read_training_data(fn_args: Any, model: ModelConfig) -> TrainingData:
    """Reads the splits `train` and `corpus`; nothing of the eval split.

    Args:
      fn_args: TFX's `FnArgs`.
      model: The section `model` of the configuration.

    Raises:
      UserError: If a split is empty.
    """
    tft_output = tft.TFTransformOutput(fn_args.transform_graph_path)
    spec = tft_output.transformed_feature_spec()
    train_files, corpus_files = _by_split(fn_args.train_files)
    num_title_tokens = _num_title_tokens(tft_output, model)
    return TrainingData(
        train=read_columns(train_files, spec, _TRAIN_COLUMNS),
        corpus=read_corpus(corpus_files, spec, num_title_tokens),
        num_users=tft_output.vocabulary_size_by_name(USER_VOCABULARY),
    )


def _by_split(files: list[str]) -> tuple[list[str], list[str]]:
    """Splits the file patterns into those of `train` and those of `corpus`."""
    corpus = [file for file in files if f"Split-{f.CORPUS_SPLIT}" in file]
    return [file for file in files if file not in corpus], corpus


def _num_title_tokens(tft_output: tft.TFTransformOutput, model: ModelConfig) -> int:
    """Size of the title vocabulary with its out-of-vocabulary bucket."""
    if not model.title_tokens:
        return 1
    return int(tft_output.vocabulary_size_by_name(TITLE_VOCABULARY)) + 1
