"""The earlier model that training starts from: what is read of it, and handed over.

The step WarmStart reads a served model and saves what training needs of it, a `Start`;
the Trainer loads that. Neither needs the model's classes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
from typing import Any, Final, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from trainer.errors import UserError
from trainer.serving_contract import (
    MODEL_INFO_FILE,
    MOVIE_VOCABULARY,
    TITLE_VOCABULARY,
    USER_VOCABULARY,
)

# Keys of `MODEL_INFO_FILE` by which a later run starts from the model.
DATA_FINGERPRINT: Final = "data_fingerprint"
LAST_TIMESTAMP: Final = "last_timestamp"
WEIGHTS: Final = "weights"  # names, in the order of the model's variables
MODEL_CONFIG: Final = "model_config"
WARM_RUNS: Final = "warm_runs"  # trainings since the last cold start

_VOCABULARIES: Final = (USER_VOCABULARY, MOVIE_VOCABULARY, TITLE_VOCABULARY)
_VARIABLE: Final = re.compile(r"_encoder/_variables/(\d+)/\.ATTRIBUTES/VARIABLE_VALUE$")
_EVENTS: Final = "_trained_events/_kept/.ATTRIBUTES/VARIABLE_VALUE"
# Files that the Trainer finds in the folder of its base model.
START_FILE: Final = "start.json"
_BASE_FILE: Final = "base_model.npz"


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


def _read(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
    return content
