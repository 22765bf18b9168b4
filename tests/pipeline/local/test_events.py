from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from pipeline.local.events import EventReader, record_events
from trainer import progress


def test_events_arrive_in_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    assert list(reader.read()) == []
    with record_events(path):
        progress.emit("phase", text="first\nsecond line")
        progress.emit("train", epoch=1, epochs=2, loss=np.float32(0.5), seconds=1.0)
        first, second = reader.read()
        assert (first["kind"], first["text"]) == ("phase", "first\nsecond line")
        assert (second["kind"], second["loss"]) == ("train", 0.5)
        progress.emit("phase", text="third")
        assert [event["text"] for event in reader.read()] == ["third"]


def test_an_incomplete_line_is_read_later(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    reader = EventReader(path)
    path.write_text('{"kind": "phase"}\n{"kind": ')
    assert len(list(reader.read())) == 1
    with open(path, "a") as file:
        file.write('"train"}\n')
    assert [event["kind"] for event in reader.read()] == ["train"]


def test_events_are_recorded_only_inside_the_context_and_not_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, log = tmp_path / "events.jsonl", tmp_path / "run.log"
    handler = logging.FileHandler(log)
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    with record_events(path):
        progress.emit("phase", text="inside")
    progress.emit("phase", text="outside")
    handler.close()
    assert [event["text"] for event in EventReader(path).read()] == ["inside"]
    assert log.read_text() == ""
