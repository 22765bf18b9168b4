"""The configuration of the hyperparameter search: `TuneConfig`, `TunerConfig`."""

from __future__ import annotations

import difflib
import functools
import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_type_hints

from pydantic import (
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from trainer.config import (
    FROZEN,
    ModelConfig,
    PositiveInt,
    TrainConfig,
    TrainerConfig,
)

_SECTIONS: Final[dict[str, type]] = {"model": ModelConfig, "train": TrainConfig}
# Key -> why no trial may change it.
_FIXED: Final = {
    "model.title_tokens": "Transform makes that vocabulary before the search begins",
    "train.validation_queries": "all trials must be compared by the same queries",
    "train.seed": "all trials must be compared by the same queries",
}
_EPOCHS: Final = "train.epochs"
# The type of the errors whose message and remedy are told as they are.
REMEDIED: Final = "remedied"


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class Dimension:
    """What a hyperparameter may be: one of `values`, or between `min` and `max`.

    Attributes:
      values: What there is to choose from.
      min: Smallest value.
      max: Largest value.
      log: Whether equal factors, not equal differences, are equally likely.
    """

    values: tuple[Any, ...] = ()
    min: int | float | None = None
    max: int | float | None = None
    log: bool = False


def _default_space() -> Mapping[str, Dimension]:
    model, train = ModelConfig(), TrainConfig()
    decays = ([0.8], [0.5, 0.8], [0.7, 0.9], [0.5, 0.8, 0.95])
    return {
        "train.learning_rate": Dimension(min=1e-3, max=2e-2, log=True),
        "train.batch_size": _choice(train.batch_size, 16, 32, 64, 128),
        "train.label_smoothing": Dimension(min=0.0, max=0.3),
        "model.embedding_dim": _choice(model.embedding_dim, 32, 48, 64, 96),
        "model.hidden_units": _choice(model.hidden_units, 32, 64, 128),
        "model.dropout": Dimension(min=0.2, max=0.7),
        "model.user_dropout": Dimension(min=0.0, max=0.5),
        "model.recency_decays": _choice(list(model.recency_decays), *decays),
    }


def _choice(default: Any, *values: Any) -> Dimension:
    """The values and the default, which a search must be able to begin with."""
    return Dimension(values=(default, *(v for v in values if v != default)))


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TuneConfig:
    """The search for hyperparameters, before training.

    A trial trains a model as the Trainer would and is judged by the recall@10 of the
    validation slice of the train split; the eval split is never read.

    Attributes:
      enabled: Whether the pipeline has the step Tuner, whose best values the Trainer
        takes in place of those of `model` and `train`.
      algorithm: How KerasTuner draws the next trial: "random", "bayesian" (a Gaussian
        process, which pays beyond three times as many trials as keys) or "hyperband"
        (many trials of few epochs, of which the best go on).
      trials: Models to train at most. The first is the configuration as it is, where
        the space holds it.
      epochs: Epochs of a trial at most, of which a learning-rate schedule runs its
        whole course; None for those of `train.epochs`.
      max_seconds: Time after which no further trial begins; None for no limit.
      space: Key of `model` or `train`, such as `train.learning_rate` -> what it may be.
    """

    enabled: bool = False
    algorithm: Literal["random", "bayesian", "hyperband"] = "random"
    trials: PositiveInt = 20
    epochs: PositiveInt | None = None
    max_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    space: Mapping[str, Dimension] = Field(default_factory=_default_space)

    @field_validator("space", mode="after")
    @classmethod
    def _check_space(cls, space: Mapping[str, Dimension]) -> Mapping[str, Dimension]:
        if not space:
            raise _error("tune.space is empty", "Name a key, or leave tune.space out.")
        for key, dimension in space.items():
            _check_key(key)
            _check_shape(key, dimension)
            for name, value in _values(dimension):
                _check_value(key, name, value)
        return space

    @model_validator(mode="after")
    def _check_epochs(self) -> TuneConfig:
        if _EPOCHS in self.space and (self.epochs or self.algorithm == "hyperband"):
            other = "tune.epochs" if self.epochs else "tune.algorithm hyperband"
            raise ValueError(f"tune.space has {_EPOCHS}, which {other} sets too")
        return self


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TunerConfig:
    """Everything that the Tuner reads, as JSON: see `trainer.config.to_json`.

    Attributes:
      trainer: What the Trainer would be given without the search.
      tune: The search.
    """

    trainer: TrainerConfig
    tune: TuneConfig


def _check_key(key: str) -> None:
    section, _, field = key.partition(".")
    if key in _FIXED:
        raise _error(f"tune.space: {key} cannot be tuned: {_FIXED[key]}", "Remove it.")
    names = [
        f"{name}.{known}" for name, kind in _SECTIONS.items() for known in _hints(kind)
    ]
    if section not in _SECTIONS or field not in _hints(_SECTIONS[section]):
        near = difflib.get_close_matches(key, names, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Allowed: {', '.join(names)}."
        raise _error(f"tune.space: there is no key {key!r}", remedy)


def _check_shape(key: str, dimension: Dimension) -> None:
    """Either values or a range, which has an inside."""
    low, high = dimension.min, dimension.max
    remedy = (
        "Write {values: [a, b]} or {min: a, max: b}; the latter may have log: true."
    )
    if bool(dimension.values) == (low is not None or high is not None):
        raise _error(f"tune.space: {key} needs either values or min and max", remedy)
    if dimension.values:
        texts = [json.dumps(value, sort_keys=True) for value in dimension.values]
        if len(set(texts)) < len(texts):
            raise _error(f"tune.space: {key} has a value twice", "Delete one.")
        if dimension.log:
            raise _error(
                f"tune.space: {key} has values, which log does not fit", remedy
            )
        return
    if low is None or high is None:
        raise _error(f"tune.space: {key} has only one of min and max", remedy)
    if low >= high:
        raise _error(
            f"tune.space: {key} has min {low}, which is not below max {high}",
            "Swap them, or write {values: [a]} for one value.",
        )
    if dimension.log and low <= 0:
        raise _error(
            f"tune.space: {key} has log: true and min {low}, whose logarithm there is "
            "not",
            "Raise min above 0 or leave out log.",
        )


def _values(dimension: Dimension) -> Iterator[tuple[str, Any]]:
    """Yields all that is said of a dimension, and where."""
    if dimension.values:
        yield from (("values", value) for value in dimension.values)
    else:
        yield from (("min", dimension.min), ("max", dimension.max))


def _check_value(key: str, name: str, value: Any) -> None:
    """Raises where the configuration would not take the value under that key."""
    section, _, field = key.partition(".")
    try:
        _adapter(_SECTIONS[section], field).validate_json(
            json.dumps(value), strict=True
        )
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should", "must", 1)
        raise _error(
            f"tune.space: {key} has {json.dumps(value)} under {name}, but it {reason}",
            "Change its value.",
        ) from error


@functools.cache
def _hints(section: type) -> dict[str, Any]:
    return get_type_hints(section, include_extras=True)


@functools.cache
def _adapter(section: type, field: str) -> TypeAdapter[Any]:
    return TypeAdapter(_hints(section)[field])


def _error(message: str, remedy: str) -> PydanticCustomError:
    # As values, for braces in the template itself would stand for some.
    return PydanticCustomError(
        REMEDIED, "{message}", {"message": message, "remedy": remedy}
    )
