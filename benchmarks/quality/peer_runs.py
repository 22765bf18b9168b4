"""Fits peers, and chooses their settings on the validation split."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.quality.measure import measure, ranks_of
from benchmarks.quality.peer import Peer, Settings
from benchmarks.quality.protocols import Protocol
from benchmarks.quality.split import Array, Split
from benchmarks.quality.worker import run_worker

# What `--tune` writes, and every other run reads.
SETTINGS_FILE: Final = Path(__file__).parent / "peer_settings.json"
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
    ) -> list[Measured]:
        """Fits a peer with settings and seeds, and ranks what is held out.

        Returns:
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
            results = run_worker(peer.python, "benchmarks.quality.peers", work)
            return [
                Measured(ranks_of(path, queries), **result)
                for path, result in zip(sum(paths, []), results, strict=True)
            ]

    def tune(self, peer: Peer, protocol: Protocol) -> dict[str, Any]:
        """Tries the peer's grid on the validation split.

        Returns:
          The best settings, its value, the metric, and all that was tried.
        """
        metric = protocol.metrics[0]
        tried = []
        candidates = peer.candidates()
        step = 1 if peer.stops else _TRIALS_OF_A_PROCESS
        for start in range(0, len(candidates), step):
            trials = [peer.asked(each) for each in candidates[start : start + step]]
            results = self.fits(peer, [(each, _TUNING_SEED) for each in trials], True)
            settings_of = [s for each in trials for s in peer.stopped(each)]
            for settings, found in zip(settings_of, results, strict=True):
                value, _ = measure(found.ranks, self.num_movies, (metric,))[metric]
                tried.append(
                    {
                        "settings": settings,
                        "value": round(value, 5),
                        "seconds": round(found.seconds, 2),
                    }
                )
                print(
                    f"  {peer.name} {settings}: {value:.4f}, {found.seconds:.1f} s",
                    flush=True,
                )
        best = max(tried, key=lambda trial: trial["value"])
        return {
            "settings": best["settings"],
            "metric": metric,
            "value": best["value"],
            "tried": tried,
        }


def read_settings() -> dict[str, dict[str, Any]]:
    """Protocol -> peer -> what `PeerRuns.tune` found.

    What was found on another machine has two keys more: `machine`, which one, and
    `unfinished`, how far the search came if its best trial may not be the best.
    """
    if not SETTINGS_FILE.exists():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(SETTINGS_FILE.read_text())
    return found


def store_settings(protocol: str, peer: str, found: dict[str, Any]) -> None:
    """Adds what was found to the file."""
    content = read_settings()
    content.setdefault(protocol, {})[peer] = found
    SETTINGS_FILE.write_text(_as_text(content) + "\n")


def _as_text(content: dict[str, dict[str, Any]]) -> str:
    """JSON with one trial a line, so that it can be read."""
    blocks = []
    for protocol, peers in content.items():
        rows = []
        for peer, found in peers.items():
            tried = ",\n   ".join(json.dumps(trial) for trial in found["tried"])
            chosen = {k: v for k, v in found.items() if k != "tried"}
            head = json.dumps(chosen)[:-1]
            rows.append(f'  "{peer}": {head}, "tried": [\n   {tried}]}}')
        blocks.append(f' "{protocol}": {{\n' + ",\n".join(rows) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}"
