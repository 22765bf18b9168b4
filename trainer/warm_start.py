"""Warm start: training goes on from the weights of an earlier model.

Embeddings are carried over by token and not by row: a user, a movie or a title word
that the earlier model knows keeps its embedding, whatever the order and size of the
vocabularies, and a new one starts afresh. All other weights are carried over as they
are. An earlier model of another structure cannot be continued; training is then a cold
start.
"""

from __future__ import annotations

import collections
import logging
import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from trainer.base_model import MODEL_CONFIG, BaseModel, ColdStartError
from trainer.config import TrainerConfig, to_json
from trainer.model import TwoTowerModel
from trainer.towers import BY_INDEX, NOT_CARRIED

# Settings that change no weight: a model is continued with other ones.
_CONTINUABLE: Final = frozenset(
    f"model.{key}"
    for key in ("dropout", "user_dropout", "movie_dropout", "encoder_dropout")
    + ("recency_decays", "time_scales", "title_tokens", "unrated_movies")
)
# Keras numbers layers of the same kind by how many a process has made.
_LAYER_NUMBER: Final = re.compile(r"_\d+(?=/)")

Vocabularies = Mapping[str, NDArray[Any]]


def weight_names(model: TwoTowerModel) -> list[str]:
    """Names the variables of a model, in their order: the same in every process."""
    count: collections.Counter[str] = collections.Counter()
    names = []
    for variable in model.variables:
        path = _LAYER_NUMBER.sub("", variable.path)
        names.append(f"{path}#{count[path]}")
        count[path] += 1
    return names


def carry_over(
    model: TwoTowerModel, base: BaseModel, vocabularies: Vocabularies
) -> dict[str, tuple[int, int]]:
    """Gives a new model the weights of an earlier one; all of them or none.

    Args:
      model: The new model, built.
      base: The earlier model.
      vocabularies: Name to tokens, bytes `[n]`, of the new model.

    Returns:
      Vocabulary to how many of its tokens were known, and how many it has.

    Raises:
      ColdStartError: A weight of the new model has no counterpart that fits.
    """
    known = {
        name: _rows(base.vocabularies.get(name, np.array([], bytes)), tokens)
        for name, tokens in vocabularies.items()
    }
    kinds = model.row_kinds()
    values = {}
    for name, variable in zip(weight_names(model), model.variables, strict=True):
        kind = kinds.get(variable.path, "")
        is_weight = "float" in str(variable.dtype) and np.prod(variable.shape)
        if kind != NOT_CARRIED and is_weight:
            values[variable.path] = _fitted(
                name, np.array(variable), base.weights.get(name), kind, known
            )
    for variable in model.variables:
        if variable.path in values:
            variable.assign(values[variable.path])
    counts = {k: (int((rows >= 0).sum()), len(rows)) for k, rows in known.items()}
    logging.info("Warm start: known tokens of all, by vocabulary: %s", counts)
    return counts


def _rows(old: NDArray[Any], new: NDArray[Any]) -> NDArray[np.int64]:
    """Returns the old row of each new token, -1 for a token that is new."""
    row = {token: i for i, token in enumerate(old.tolist())}
    return np.array([row.get(token, -1) for token in new.tolist()], np.int64)


def _fitted(
    name: str,
    fresh: NDArray[Any],
    old: NDArray[Any] | None,
    kind: str,
    known: Mapping[str, NDArray[np.int64]],
) -> NDArray[Any]:
    """Returns the value that a weight starts with.

    Args:
      name: Its name.
      fresh: Its initial value.
      old: Its value in the earlier model; None if there is none.
      kind: What its rows stand for: see `row_kinds` of the towers; "" for no rows.
      known: Vocabulary -> row in the earlier model of each token, or -1.
    """
    by_row = bool(kind)
    if old is None or old.shape[by_row:] != fresh.shape[by_row:]:
        raise ColdStartError(
            f"{name} has shape {list(fresh.shape)}, "
            f"{'none' if old is None else list(old.shape)} in the live model",
            "Set train.warm_start=auto or never to train a new model.",
        )
    if not by_row:
        return old
    value = fresh.copy()
    if kind == BY_INDEX:
        rows = min(len(old), len(fresh))
        value[:rows] = old[:rows]
        return value
    rows_of_old = known[kind]
    is_known = rows_of_old >= 0
    value[:-1][is_known] = old[rows_of_old[is_known]]
    value[-1] = old[-1]  # the row of unknown tokens
    return value


def check_settings(base: BaseModel, config: TrainerConfig) -> None:
    """Checks that a model was made for the same edition, with the same structure.

    Ids of two editions are of different people and movies.

    Raises:
      ColdStartError: It was not.
    """
    new = {"dataset": config.dataset}
    new |= {f"model.{k}": v for k, v in to_json(config.model).items()}
    before = {"dataset": base.info.get("dataset")}
    before |= {f"model.{k}": v for k, v in base.info.get(MODEL_CONFIG, {}).items()}
    changed = [
        f"{key} is {value}, {before.get(key)} in the live model"
        for key, value in new.items()
        if key not in _CONTINUABLE and before.get(key) != value
    ]
    if changed:
        raise ColdStartError(
            "; ".join(changed), "Set train.warm_start=auto or never to train anew."
        )
