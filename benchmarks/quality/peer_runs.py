"""Fits peers, and chooses their settings on the validation split."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.quality.measure import measure, ranks_of
from benchmarks.quality.peer import Peer, Settings
from benchmarks.quality.peer_settings import Trial, add_trial, is_over, left
from benchmarks.quality.protocols import Protocol
from benchmarks.quality.split import Array, Split
from benchmarks.quality.worker import stream_worker

_TUNING_SEED: Final = 0
# To start one takes seconds; but it keeps its memory, and its scores lie on the disk.
_TRIALS_OF_A_PROCESS: Final = 8


class Measured(NamedTuple):
    """One fitted ranker.

    Attributes:
      ranks: int32 `[queries, held_out]`, 0 for padding.
      seconds: Of fitting.
      numbers: Numbers that it has learned: its size.
    """

    ranks: Array
    seconds: float
    numbers: int


class PeerRuns:
    """Runs of peers on one split.

    Args:
      path: File of the split.
    """

    def __init__(self, path: Path) -> None:
        """See the class docstring."""
        self._path = path
        self._split = Split.load(path)
        self.num_movies = self._split.events.num_movies

    def fits(
        self, peer: Peer, jobs: list[tuple[Settings, int]], validating: bool = False
    ) -> Generator[Measured, None, None]:
        """Fits a peer with settings and seeds, and ranks what is held out.

        Yields:
          For each job what was measured; of a peer with stops for each of `epochs`.

        Raises:
          WorkerError: If the peer fails or is not installed.
        """
        _, queries = self._split.fitted(validating)
        with tempfile.TemporaryDirectory() as folder:
            counts = [len(s["epochs"]) if peer.stops else 1 for s, _ in jobs]
            paths = [
                [Path(folder) / f"{job}-{stop}.npy" for stop in range(count)]
                for job, count in enumerate(counts)
            ]
            work = {
                "fit": peer.fit or peer.name,
                "split": str(self._path),
                "jobs": [
                    {
                        "settings": settings,
                        "seed": seed,
                        "validating": validating,
                        "scores": [str(path) for path in stops],
                    }
                    for (settings, seed), stops in zip(jobs, paths, strict=True)
                ],
            }
            worker = stream_worker(peer.python, "benchmarks.quality.peers", work)
            with closing(worker) as results:
                for path, result in zip(sum(paths, []), results, strict=True):
                    yield Measured(ranks_of(path, queries), **result)
                    path.unlink()

    def tune(self, peer: Peer, protocol: Protocol, at_most: int | None = None) -> None:
        """Tries what is left of the peer's grid, or the first of it, for validation.

        Each trial is kept at once. A training with stops ends early, as `is_over` says.
        """
        candidates = left(protocol, peer)[:at_most]
        step = 1 if peer.stops else _TRIALS_OF_A_PROCESS
        for start in range(0, len(candidates), step):
            asked = [peer.asked(each) for each in candidates[start : start + step]]
            jobs = [(each, _TUNING_SEED) for each in asked]
            settings_of = [s for each in asked for s in peer.stopped(each)]
            trials: list[Trial] = []
            with closing(self.fits(peer, jobs, validating=True)) as results:
                for settings, measured in zip(settings_of, results, strict=False):
                    trials.append(self._trial(protocol.metrics[0], settings, measured))
                    add_trial(protocol, peer, trials[-1])
                    print(f"  {peer.name} {json.dumps(trials[-1])}", flush=True)
                    if peer.stops and is_over([each["value"] for each in trials]):
                        break

    def _trial(self, metric: str, settings: Settings, measured: Measured) -> Trial:
        value, _ = measure(measured.ranks, self.num_movies, (metric,))[metric]
        return {
            "settings": settings,
            "value": round(value, 5),
            "seconds": round(measured.seconds, 2),
        }
