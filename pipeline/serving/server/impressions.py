"""`--log-impressions`: keeps what was recommended to whom, beside the requests.

A request only appends its arrays to a list. A thread turns them into rows and writes a
file from time to time. What cannot be written is kept and tried again, up to a limit;
beyond it the oldest rows are lost and counted. No request waits or fails.
"""

from __future__ import annotations

import datetime
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from components.feedback.impressions import Impression, file_path, write
from trainer import features as f
from trainer.serving_contract import DEFAULT_K, RECOMMEND_EXAMPLES

_EXAMPLES: Final = next(iter(RECOMMEND_EXAMPLES.inputs))
_LOG: Final = logging.getLogger(__name__)
ROWS_PER_FILE: Final = 10_000
_SECONDS_PER_FILE: Final = 10.0
_MOST_ROWS: Final = 200_000  # that are kept in memory

Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Answer:
    """An answered request.

    Attributes:
      at: When it was answered.
      request_id: Identifies it.
      version: That answered.
      label: By which the version was asked for or live; may be empty.
      signature: Name of the signature.
      inputs: From `needed_inputs`.
      outputs: From `needed_outputs`.
    """

    at: datetime.datetime
    request_id: str
    version: int
    label: str
    signature: str
    inputs: Arrays
    outputs: Arrays

    @property
    def rows(self) -> int:
        """Number of users."""
        return len(self.outputs["movie_ids"])

    def impressions(self) -> Iterator[Impression]:
        """Yields one for each user."""
        movies, scores = self.outputs["movie_ids"], self.outputs["scores"]
        for row, (user, k) in enumerate(_who_asked(self.inputs)):
            found = [
                (movie.decode(errors="replace"), float(score))
                for movie, score in zip(movies[row], scores[row], strict=True)
                if movie
            ]
            yield Impression(
                at=self.at,
                request_id=self.request_id,
                version=self.version,
                label=self.label,
                signature=self.signature,
                user_id=user.decode(errors="replace"),
                k=k,
                movie_ids=[movie for movie, _ in found],
                scores=[score for _, score in found],
            )


def is_recommendation(inputs: Arrays, outputs: Arrays) -> bool:
    """Whether a request recommended movies to users."""
    asks = {f.USER_ID, "k"} <= inputs.keys() or inputs.keys() == {_EXAMPLES}
    return asks and {"movie_ids", "scores"} <= outputs.keys()


def needed_inputs(inputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """What an `Answer` needs of the inputs: no histories, which may be long."""
    return {n: inputs[n] for n in (f.USER_ID, "k", _EXAMPLES) if n in inputs}


def needed_outputs(outputs: Arrays) -> dict[str, npt.NDArray[Any]]:
    """What an `Answer` needs of the outputs."""
    return {name: outputs[name] for name in ("movie_ids", "scores")}


def _who_asked(inputs: Arrays) -> Iterator[tuple[bytes, int]]:
    """Yields user and number of movies of each row."""
    if _EXAMPLES not in inputs:
        yield from zip(inputs[f.USER_ID].tolist(), inputs["k"].tolist(), strict=True)
        return
    from tensorflow.core.example import example_pb2

    for serialized in inputs[_EXAMPLES].tolist():
        feature = example_pb2.Example.FromString(serialized).features.feature
        k = feature["k"].int64_list.value
        yield feature[f.USER_ID].bytes_list.value[0], k[0] if k else DEFAULT_K


class ImpressionLog:
    """Writes impressions to files in a folder.

    Args:
      folder: Of all impressions; see `components.feedback.impressions`.

    Attributes:
      written: Number of rows that were written.
      lost: Number of rows that were not.
    """

    def __init__(self, folder: Path) -> None:
        self.written = 0
        self.lost = 0
        self._folder = folder
        self._number = 0
        self._answers: list[Answer] = []
        self._rows = 0  # of `_answers`
        self._unwritten: list[Impression] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(
            target=self._write_on, name="impressions", daemon=True
        )
        self._thread.start()

    def add(self, answer: Answer) -> None:
        """Keeps an answer to be written."""
        with self._lock:
            if self._rows > _MOST_ROWS:
                self.lost += answer.rows
                return
            self._answers.append(answer)
            self._rows += answer.rows
            is_full = self._rows >= ROWS_PER_FILE
        if is_full:
            self._wake.set()

    def close(self) -> None:
        """Writes what is left; what cannot be written is lost."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self.lost += len(self._unwritten)

    def flush(self) -> None:
        """Writes what there is."""
        with self._lock:
            answers, self._answers, self._rows = self._answers, [], 0
        rows = self._unwritten
        for answer in answers:
            rows.extend(answer.impressions())
        while rows:
            block = rows[:ROWS_PER_FILE]
            try:
                self._number += 1
                path = file_path(self._folder, block[0].at, os.getpid(), self._number)
                write(path, block)
            except OSError as error:
                excess = max(len(rows) - _MOST_ROWS, 0)
                del rows[:excess]
                self.lost += excess
                _LOG.error(
                    "Impressions cannot be written to %s: %s. %d wait, %d are lost.",
                    *(self._folder, error.strerror or error, len(rows), self.lost),
                )
                return
            del rows[:ROWS_PER_FILE]
            self.written += len(block)

    def _write_on(self) -> None:
        while not self._closing:
            self._wake.wait(_SECONDS_PER_FILE)
            self._wake.clear()
            try:
                self.flush()
            except Exception:
                _LOG.exception("Impressions cannot be written.")
                self.lost += len(self._unwritten)
                self._unwritten.clear()
        self._finish()

    def _finish(self) -> None:
        """Writes what came after the last file."""
        try:
            self.flush()
        except Exception:
            _LOG.exception("Impressions cannot be written.")
