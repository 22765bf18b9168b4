"""Warm start: training goes on from the weights of an earlier model.

Embeddings are carried over by token and not by row: a user, a movie or a title word
that the earlier model knows keeps its embedding, whatever the order and size of the
vocabularies, and a new one starts afresh. All other weights are carried over as they
are. An earlier model of another structure cannot be continued; training is then a cold
start.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.config import TrainerConfig, to_json
from trainer.errors import UserError
from trainer.model import TwoTowerModel
from trainer.preprocessing import MOVIE_VOCABULARY, TITLE_VOCABULARY
from trainer.serving_contract import MODEL_INFO_FILE, USER_VOCABULARY
from trainer.towers import BY_INDEX, NOT_CARRIED

# Keys of `MODEL_INFO_FILE` by which a later run starts from the model.
DATA_FINGERPRINT: Final = "data_fingerprint"
LAST_TIMESTAMP: Final = "last_timestamp"
WEIGHTS: Final = "weights"  # names, in the order of the model's variables
MODEL_CONFIG: Final = "model_config"
WARM_RUNS: Final = "warm_runs"  # trainings since the last cold start

_VOCABULARIES: Final = (USER_VOCABULARY, MOVIE_VOCABULARY, TITLE_VOCABULARY)
_VARIABLE: Final = re.compile(r"_encoder/_variables/(\d+)/\.ATTRIBUTES/VARIABLE_VALUE$")
_EVENTS: Final = "_trained_events/_kept/.ATTRIBUTES/VARIABLE_VALUE"
# Settings that change no weight: a model is continued with other ones.
_CONTINUABLE: Final = frozenset(
    f"model.{key}"
    for key in ("dropout", "user_dropout", "movie_dropout", "encoder_dropout")
    + ("recency_decays", "title_tokens", "unrated_movies")
)
# Keras numbers layers of the same kind by how many a process has made.
_LAYER_NUMBER: Final = re.compile(r"_\d+(?=/)")

# Files that the Trainer finds in the folder of its base model.
START_FILE: Final = "start.json"
_BASE_FILE: Final = "base_model.npz"

Vocabularies = Mapping[str, NDArray[Any]]


class Data(NamedTuple):
    """Which data a model is trained on.

    Attributes:
      fingerprint: Digest of its files; empty if not known.
      last: Time of its newest rating, in seconds since the epoch, UTC; None if unknown.
    """

    fingerprint: str = ""
    last: int | None = None


@dataclasses.dataclass(frozen=True)
class Start:
    """What training starts from.

    Attributes:
      reason: Why that is so, in a few words.
      version: The served version whose weights it has; empty for a cold start.
      model_id: Its identity: see `trainer.model_identity`; empty for a cold start.
      data: What the new model is trained on.
      base: The earlier model; None for a cold start.
    """

    reason: str = "there is no step that looks for an earlier model"
    version: str = ""
    model_id: str = ""
    data: Data = Data()
    base: BaseModel | None = None

    def save(self, folder: str) -> None:
        """Writes it to a folder, for the Trainer."""
        tf.io.gfile.makedirs(folder)
        if self.base is not None:
            save_base(self.base, os.path.join(folder, _BASE_FILE))
        texts = dataclasses.asdict(dataclasses.replace(self, base=None))
        del texts["base"]
        path = os.path.join(folder, START_FILE)
        with tf.io.gfile.GFile(path, "w") as file:
            file.write(json.dumps(texts, indent=2))

    @classmethod
    def load(cls, folder: str) -> Start:
        """Reads what `save` wrote."""
        content = json.loads(_read(os.path.join(folder, START_FILE)))
        start = cls(**content | {"data": Data(*content["data"])})
        if not start.version:
            return start
        base = load_base(os.path.join(folder, _BASE_FILE))
        return dataclasses.replace(start, base=base)


class BaseModel(NamedTuple):
    """The model that training starts from.

    Attributes:
      info: Content of its `MODEL_INFO_FILE`.
      weights: Name, as in `weight_names`, to value.
      vocabularies: Name to tokens, bytes `[n]`, in the order of their embeddings.
      trained_events: Fingerprints of the events that it was trained on, and what it
        started from: see `trainer.trained_events`.
    """

    info: dict[str, Any]
    weights: dict[str, NDArray[Any]]
    vocabularies: dict[str, NDArray[Any]]
    trained_events: NDArray[np.int64]

    @property
    def last_timestamp(self) -> int | None:
        """Time of the newest rating that it was trained on; None if not known."""
        found = self.info.get(LAST_TIMESTAMP)
        return found if isinstance(found, int) else None

    @property
    def warm_runs(self) -> int:
        """Trainings since the last cold start."""
        return int(self.info.get(WARM_RUNS, 0))


class ColdStartError(UserError):
    """The earlier model cannot be continued."""


def read_served_model(folder: str) -> BaseModel:
    """Reads what training needs of an exported model.

    Args:
      folder: The SavedModel.

    Raises:
      ColdStartError: It is damaged, or no model that this code exported.
    """
    try:
        info = json.loads(_read(os.path.join(folder, MODEL_INFO_FILE)))
        names = list(info[WEIGHTS])
        path = os.path.join(folder, "variables", "variables")
        reader = tf.train.load_checkpoint(path)
        keys = reader.get_variable_to_shape_map()
        found = {
            names[int(match[1])]: reader.get_tensor(key)
            for key in keys
            if (match := _VARIABLE.match(key))
        }
        [events] = (reader.get_tensor(key) for key in keys if key.endswith(_EVENTS))
        vocabularies = {
            name: np.array(_read(path).split(b"\n")[:-1], bytes)
            for name in _VOCABULARIES
            if tf.io.gfile.exists(path := os.path.join(folder, "assets", name))
        }
    except (
        *(OSError, ValueError, KeyError, IndexError, TypeError, RecursionError),
        # TensorFlow's own errors derive from it, and so do those of its readers.
        *(tf.errors.OpError, RuntimeError),
    ) as error:
        cause = str(error).split("\n", maxsplit=1)[0]
        raise ColdStartError(
            f"The live model {folder} cannot be continued: "
            f"{type(error).__name__}: {cause}",
            "It is damaged, or other code exported it: set train.warm_start=never.",
        ) from error
    # The last one is no event: see `TrainedEvents`.
    return BaseModel(info, found, vocabularies, np.asarray(events, np.int64)[:-1])


def save_base(base: BaseModel, path: str) -> None:
    """Writes a base model to one file, without pickled objects."""
    content: dict[str, Any] = {
        "info": np.frombuffer(json.dumps(base.info).encode(), np.uint8),
        "trained_events": base.trained_events,
        **{f"weight {name}": value for name, value in base.weights.items()},
        **{
            f"vocabulary {name}": np.frombuffer(b"\n".join(tokens), np.uint8)
            for name, tokens in base.vocabularies.items()
        },
    }
    packed = io.BytesIO()  # the archive's index is written by seeking
    np.savez(packed, **content)
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(packed.getvalue())


def load_base(path: str) -> BaseModel:
    """Reads what `save_base` wrote."""
    content = dict(np.load(io.BytesIO(_read(path)), allow_pickle=False))

    def part(kind: str) -> dict[str, NDArray[Any]]:
        names = [name for name in content if name.startswith(kind)]
        return {name.removeprefix(kind): content[name] for name in names}

    return BaseModel(
        json.loads(content["info"].tobytes()),
        part("weight "),
        {
            name: np.array(text.tobytes().split(b"\n"), bytes)
            for name, text in part("vocabulary ").items()
        },
        content["trained_events"],
    )


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


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    return content
