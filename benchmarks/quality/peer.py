"""A ranker of another environment, its settings, and the grid that they come from."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.quality.worker import PEERS_PYTHON

Settings = dict[str, Any]


class Peer(NamedTuple):
    """A ranker that is fitted outside of the pipeline.

    Attributes:
      name: As in `peer_settings.json`.
      title: As in the table.
      is_random: Whether it differs from seed to seed.
      fixed: Settings that are not searched.
      grid: Setting -> values; all combinations are tried on the validation split.
      trials: Settings of which each is tried with each combination.
      stops: Numbers of epochs, ascending, after which one training is measured.
      fit: What fits it, see `peers`; its name if empty.
      python: Interpreter of its environment.
      search: Where its trials are kept in `peer_settings.json`, which may be those of
        another peer too; under its name if empty.
      is_untuned: Whether its stops are measured on the eval split, and the best counts:
        a choice in its favour, where a search on the validation split takes too long.
    """

    name: str
    title: str
    is_random: bool
    fixed: Settings
    grid: dict[str, list[Any]]
    trials: tuple[Settings, ...] = ({},)
    stops: tuple[int, ...] = ()
    fit: str = ""
    python: Path = PEERS_PYTHON
    search: str = ""
    is_untuned: bool = False

    def candidates(self) -> list[Settings]:
        """All trials with all combinations of the grid, without the stops."""
        return [
            {**self.fixed, **trial, **dict(zip(self.grid, values, strict=True))}
            for trial in self.trials
            for values in itertools.product(*self.grid.values())
        ]

    def asked(self, settings: Settings) -> Settings:
        """What its `fit` gets: `epochs` is a list if it has stops."""
        if not self.stops:
            return settings
        epochs = settings.get("epochs", self.stops)
        return {
            **settings,
            "epochs": [epochs] if isinstance(epochs, int) else [*epochs],
        }

    def stopped(self, asked: Settings) -> list[Settings]:
        """The settings of each stop of what was asked."""
        if not self.stops:
            return [asked]
        return [{**asked, "epochs": stop} for stop in asked["epochs"]]

    def trained(self, settings: Settings) -> Settings:
        """The settings of a training: without `epochs` if it has stops."""
        return {k: v for k, v in settings.items() if k != "epochs" or not self.stops}

    @property
    def is_searched(self) -> bool:
        """Whether its settings come from the validation split."""
        return not self.is_untuned and bool(
            self.grid or self.stops or len(self.trials) > 1
        )
