"""Fits peers, and chooses their settings on the validation split."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.quality.grids import Peer, Settings
from benchmarks.quality.measure import measure, ranks_of
from benchmarks.quality.protocols import Protocol
from benchmarks.quality.split import Array, Split
from benchmarks.quality.worker import PEERS_PYTHON, run_worker

# What `--tune` writes, and every other run reads.
SETTINGS_FILE: Final = Path(__file__).parent / "peer_settings.json"
_TUNING_SEED: Final = 0
# To start one takes seconds; but it keeps its memory, and its scores lie on the disk.
_TRIALS_OF_A_PROCESS: Final = 8


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

    def ranks(
        self, peer: Peer, jobs: list[tuple[Settings, int]], validating: bool = False
    ) -> list[tuple[Array, float]]:
        """Fits a peer with settings and seeds, and ranks what is held out.

        Returns:
          Ranks and the seconds of fitting, for each job.

        Raises:
          WorkerError: If the peer fails or is not installed.
        """
        _, queries = self._split.fitted(validating)
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{number}.npy" for number in range(len(jobs))]
            work = {
                "peer": peer.name,
                "split": str(self._path),
                "jobs": [
                    {
                        "settings": settings,
                        "seed": seed,
                        "validating": validating,
                        "scores": str(path),
                    }
                    for (settings, seed), path in zip(jobs, paths, strict=True)
                ],
            }
            results = run_worker(PEERS_PYTHON, "benchmarks.quality.peers", work)
            return [
                (ranks_of(path, queries), result["seconds"])
                for path, result in zip(paths, results, strict=True)
            ]

    def tune(self, peer: Peer, protocol: Protocol) -> dict[str, Any]:
        """Tries the peer's grid on the validation split.

        Returns:
          The best settings, its value, the metric, and all that was tried.
        """
        metric = protocol.metrics[0]
        tried = []
        candidates = peer.candidates()
        for start in range(0, len(candidates), _TRIALS_OF_A_PROCESS):
            trials = candidates[start : start + _TRIALS_OF_A_PROCESS]
            results = self.ranks(peer, [(each, _TUNING_SEED) for each in trials], True)
            for settings, (ranks, seconds) in zip(trials, results, strict=True):
                value, _ = measure(ranks, self.num_movies, (metric,))[metric]
                tried.append(
                    {
                        "settings": settings,
                        "value": round(value, 5),
                        "seconds": round(seconds, 2),
                    }
                )
                print(
                    f"  {peer.name} {settings}: {value:.4f}, {seconds:.1f} s",
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
    """Protocol -> peer -> what `PeerRuns.tune` found."""
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
