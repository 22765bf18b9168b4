"""The configuration of the hyperparameter search: `TuneConfig`, `TunerConfig`."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from trainer.config import (
    FROZEN,
    ModelConfig,
    PositiveInt,
    TrainConfig,
    TrainerConfig,
    from_json,
)

_SECTIONS: Final[dict[str, type]] = {"model": ModelConfig, "train": TrainConfig}
# Keys that cannot be tuned, and why.
_FIXED: Final = {
    "model.title_tokens": "Transform has made that vocabulary before the search starts",
    "train.validation_queries": "all trials must be compared on the same queries",
    "train.seed": "all trials must be compared on the same queries",
    "train.target_weight": "the validation weighs its queries by it, so that trials "
    "would be compared by different measures",
}
_EPOCHS: Final = "train.epochs"


class SearchSpaceError(ValueError):
    """A value of `tune.space` is wrong.

    Attributes:
      remedy: How to fix it, as a sentence.
    """

    def __init__(self, message: str, remedy: str) -> None:
        """Puts the key into the message."""
        super().__init__(f"tune.space: {message}")
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class Dimension:
    """The allowed values of a hyperparameter: `values`, or from `min` to `max`.

    Attributes:
      values: The values to choose from.
      min: Smallest value.
      max: Largest value.
      log: Whether to sample the logarithm of the value uniformly.
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
        "model.hidden_units": _choice(model.hidden_units, 32, 128),
        "model.dropout": Dimension(min=0.2, max=0.7),
        "model.user_dropout": Dimension(min=0.0, max=0.5),
        "model.recency_decays": _choice(list(model.recency_decays), *decays),
    }


def _choice(default: Any, *values: Any) -> Dimension:
    """Adds the default to the values, so that the first trial can be the default."""
    return Dimension(values=(default, *(v for v in values if v != default)))


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class TuneConfig:
    """The hyperparameter search before training.

    A trial trains a model as the Trainer would and measures NDCG on the validation
    slice of the train split. The eval split is never read.

    Attributes:
      enabled: Whether the pipeline has the step Tuner, whose best values the Trainer
        uses instead of those of `model` and `train`.
      algorithm: How KerasTuner chooses the next trial: "random"; "bayesian", a Gaussian
        process, which needs more than three times as many trials as keys to be better;
        or "hyperband", many trials of few epochs, of which the best are trained longer.
      trials: Maximum number of trials. The first is the configuration as it is, unless
        it is outside the space.
      epochs: Maximum number of epochs of a trial, over which the learning-rate schedule
        runs in full; None for `train.epochs`.
      max_seconds: No trial starts after this time; None for no limit.
      space: Key of `model` or `train`, such as `train.learning_rate`, to its allowed
        values.
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
            raise SearchSpaceError(
                "it is empty", "Add a key, or remove tune.space to use the default."
            )
        for key, dimension in space.items():
            _check_key(key)
            _check_shape(key, dimension)
            for value in dimension.values:
                _check_value(key, "values", value)
            if not dimension.values:
                _check_value(key, "min", dimension.min)
                _check_value(key, "max", dimension.max)
        return space

    @model_validator(mode="after")
    def _check_epochs(self) -> TuneConfig:
        if _EPOCHS in self.space and (self.epochs or self.algorithm == "hyperband"):
            other = "tune.epochs" if self.epochs else "tune.algorithm hyperband"
            raise ValueError(f"tune.space has {_EPOCHS}, which {other} also sets")
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
    if key in _FIXED:
        raise SearchSpaceError(f"{key} cannot be tuned: {_FIXED[key]}", "Remove it.")
    names = [
        f"{section}.{field.name}"
        for section, kind in _SECTIONS.items()
        for field in dataclasses.fields(kind)
    ]
    if key not in names:
        near = difflib.get_close_matches(key, names, n=1)
        remedy = f"Did you mean {near[0]}?" if near else f"Allowed: {', '.join(names)}."
        raise SearchSpaceError(f"there is no key {key!r}", remedy)


def _check_shape(key: str, dimension: Dimension) -> None:
    """Checks that there are either distinct values or a non-empty range."""
    low, high = dimension.min, dimension.max
    remedy = "Write {values: [a, b]}, {min: a, max: b} or {min: a, max: b, log: true}."
    if bool(dimension.values) == (low is not None or high is not None):
        raise SearchSpaceError(f"{key} needs either values or min and max", remedy)
    if dimension.values:
        texts = [json.dumps(value, sort_keys=True) for value in dimension.values]
        if len(set(texts)) < len(texts):
            raise SearchSpaceError(f"{key} has a value twice", "Remove one.")
        if dimension.log:
            raise SearchSpaceError(f"{key} has log: true without min and max", remedy)
        return
    if low is None or high is None:
        raise SearchSpaceError(f"{key} has only one of min and max", remedy)
    if low >= high:
        raise SearchSpaceError(
            f"{key} has min {low}, which is not below max {high}",
            "Swap them, or write {values: [a]} for one value.",
        )
    if dimension.log and low <= 0:
        raise SearchSpaceError(
            f"{key} has log: true and min {low}, but log needs a min above 0",
            "Raise min, or remove log: true.",
        )


def _check_value(key: str, name: str, value: Any) -> None:
    """Checks that the configuration allows the value under that key."""
    section, _, field = key.partition(".")
    try:
        from_json(_SECTIONS[section], {field: value})
    except ValidationError as error:
        errors = error.errors()
        if not errors[0]["loc"]:  # of several keys, which a trial may set together
            return
        # Of a value that may have several types there is one error for each.
        of_types = [each for each in errors if isinstance(each["loc"][-1], str)]
        reason = " or ".join(
            each["msg"].replace("Input should", "must", 1)
            for each in of_types or errors[:1]
        )
        raise SearchSpaceError(
            f"{key} has {json.dumps(value)} under {name}, but it {reason}",
            "Change its value.",
        ) from error
