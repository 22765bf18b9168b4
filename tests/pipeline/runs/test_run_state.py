from __future__ import annotations

from pathlib import Path

import pytest

from trainer import progress


def test_events_arrive_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    reader = progress.EventReader(path)
    assert list(reader.read()) == []
    monkeypatch.setenv(progress.ENV_VAR, str(path))
    progress.emit("phase", text="first\nsecond line")
    progress.emit("train", epoch=1, epochs=2, loss=0.5, seconds=1.0)
    first, second = reader.read()
    assert (first["kind"], first["text"]) == ("phase", "first\nsecond line")
    assert (second["kind"], second["loss"]) == ("train", 0.5)
    progress.emit("phase", text="third")
    assert [event["text"] for event in reader.read()] == ["third"]


def test_a_line_that_is_still_being_written_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = progress.EventReader(path)
    path.write_text('{"kind": "phase"}\n{"kind": ')
    assert len(list(reader.read())) == 1
    with open(path, "a") as file:
        file.write('"train"}\n')
    assert [event["kind"] for event in reader.read()] == ["train"]


def test_nothing_happens_outside_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(progress.ENV_VAR, raising=False)
    progress.emit("phase", text="nobody listens")
