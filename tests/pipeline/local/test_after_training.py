"""What is called when Trainer has trained its last epoch."""

from __future__ import annotations

from pipeline.local.after_training import called_after_training
from trainer import progress


def step(node: str, state: str) -> None:
    progress.emit("step", id=node, state=state)


def work(unit: str, share: float | None) -> None:
    progress.emit("work", unit=unit, share=share, rate=1.0, left=None)


def test_it_is_called_once_when_trainer_has_trained() -> None:
    calls: list[str] = []
    with called_after_training(lambda: calls.append("now")):
        step("Tuner", "running")
        work("targets", 1.0)  # a trial
        step("Tuner", "done")
        step("Trainer", "running")
        work("targets", None)
        work("targets", 0.5)
        assert calls == []
        work("targets", 1.0)
        assert calls == ["now"]
        work("targets", 1.0)
        step("Trainer", "done")
        step("Evaluator", "running")
        work("queries", 1.0)
    step("Trainer", "running")
    work("targets", 1.0)
    assert calls == ["now"]


def test_a_cached_trainer_starts_nothing() -> None:
    calls: list[str] = []
    with called_after_training(lambda: calls.append("now")):
        step("Trainer", "running")
        step("Trainer", "cached")
        step("Evaluator", "running")
        work("queries", 1.0)
    assert calls == []
