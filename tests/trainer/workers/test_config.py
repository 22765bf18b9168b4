"""The number of workers is no part of what is trained."""

from __future__ import annotations

import pytest

from pipeline.config import PipelineConfig, TrainConfig
from pipeline.config.loading import load
from trainer.config import to_json
from trainer.errors import UsageError
from trainer.workers.config import WORKERS_VARIABLE, requested_workers


def test_the_number_of_workers_is_in_no_cache_key() -> None:
    one, two = (PipelineConfig(train=TrainConfig(workers=n)) for n in (1, 2))
    assert to_json(one.trainer_config()) == to_json(two.trainer_config())
    assert one.computed() == two.computed()
    assert one != two


@pytest.mark.parametrize("value", ["0", "65", "two"])
def test_an_impossible_number_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match=r"train\.workers is "):
        load(assignments=[f"train.workers={value}"])


def test_without_a_runner_one_process_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKERS_VARIABLE, raising=False)
    assert requested_workers() == 1
    monkeypatch.setenv(WORKERS_VARIABLE, "3")
    assert requested_workers() == 3
