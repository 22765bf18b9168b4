"""What was tried on the validation split, and what that says of a peer's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from benchmarks.quality.peer import Peer, Settings
from benchmarks.quality.protocols import Protocol

# What `--tune` writes, and every other run reads: protocol -> peer -> trials.
SETTINGS_FILE: Final = Path(__file__).parent / "peer_settings.json"
# Stops without a better value, after which a training ends.
_PATIENCE: Final = 2
# `settings`, `value` of the protocol's first metric, `seconds` of fitting, and
# `machine` if it was not that of the tables.
Trial = dict[str, Any]


class Found(NamedTuple):
    """The best of what was tried.

    Attributes:
      settings: Of the best trial.
      value: Of the best trial.
      unfinished: Why a better one may exist; empty if the search came to its end.
    """

    settings: Settings
    value: float
    unfinished: str


def found(protocol: Protocol, peer: Peer) -> Found | None:
    """The peer's settings for a protocol; None if none was tried."""
    trials = trials_of(protocol, peer)
    if not trials:
        return None
    best = max(trials, key=lambda trial: float(trial["value"]))
    candidates = peer.candidates()
    left = len(untried(protocol, peer))
    short = sum(not is_over(_curve(trials, peer, each)) for each in candidates) - left
    gaps = [f"{left} not tried"] if left else []
    if peer.stops and short:
        gaps.append(f"{short} not trained to the end")
    if gaps:
        gaps = [f"of {len(candidates)} settings {' and '.join(gaps)}"]
    return Found(best["settings"], best["value"], "".join(gaps))


def _curve(trials: list[Trial], peer: Peer, settings: Settings) -> list[Trial]:
    """The stops of one training."""
    training = peer.trained(settings)
    return [each for each in trials if peer.trained(each["settings"]) == training]


def untried(protocol: Protocol, peer: Peer) -> list[Settings]:
    """Candidates of whose training there is no trial."""
    known = [peer.trained(trial["settings"]) for trial in trials_of(protocol, peer)]
    return [each for each in peer.candidates() if peer.trained(each) not in known]


def is_over(curve: list[Trial]) -> bool:
    """Whether the last stops of one training were no better than one before."""
    values = [trial["value"] for trial in curve]
    if not values:
        return False
    return len(values) - 1 - values.index(max(values)) >= _PATIENCE


def trials_of(protocol: Protocol, peer: Peer) -> list[Trial]:
    """What was tried of a peer's candidates, in order."""
    candidates = [peer.trained(each) for each in peer.candidates()]
    tried = read_trials().get(protocol.name, {}).get(peer.search or peer.name, [])
    return [each for each in tried if peer.trained(each["settings"]) in candidates]


def read_trials() -> dict[str, dict[str, list[Trial]]]:
    """Protocol -> peer -> trials."""
    if not SETTINGS_FILE.exists():
        return {}
    content: dict[str, dict[str, list[Trial]]] = json.loads(SETTINGS_FILE.read_text())
    return content


def add_trial(protocol: Protocol, peer: Peer, trial: Trial) -> None:
    """Adds what was tried to the file."""
    content = read_trials()
    of_protocol = content.setdefault(protocol.name, {})
    of_protocol.setdefault(peer.search or peer.name, []).append(trial)
    SETTINGS_FILE.write_text(_as_text(content) + "\n")


def _as_text(content: dict[str, dict[str, list[Trial]]]) -> str:
    """JSON with one trial a line, so that it can be read."""
    blocks = []
    for protocol, peers in content.items():
        rows = [
            f'  "{peer}": [\n   ' + ",\n   ".join(map(json.dumps, trials)) + "]"
            for peer, trials in peers.items()
        ]
        blocks.append(f' "{protocol}": {{\n' + ",\n".join(rows) + "\n }")
    return "{\n" + ",\n".join(blocks) + "\n}"
