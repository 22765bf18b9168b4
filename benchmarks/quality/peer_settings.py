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
    untried = sum(not _curve(trials, peer, each) for each in peer.candidates())
    short = len(left(protocol, peer)) - untried
    gaps = [f"{untried} not tried"] if untried else []
    if short:
        gaps.append(f"{short} not trained to the end")
    text = f"of {len(peer.candidates())} settings {' and '.join(gaps)}" if gaps else ""
    return Found(best["settings"], best["value"], text)


def left(protocol: Protocol, peer: Peer) -> list[Settings]:
    """Candidates that were not tried, then those not trained to the end."""
    trials = trials_of(protocol, peer)
    curves = [(each, _curve(trials, peer, each)) for each in peer.candidates()]
    return [
        *(each for each, curve in curves if not curve),
        *(each for each, curve in curves if curve and not _is_done(peer, each, curve)),
    ]


def _curve(trials: list[Trial], peer: Peer, settings: Settings) -> list[Trial]:
    """The stops of one training, in order."""
    training = peer.trained(settings)
    curve = [each for each in trials if peer.trained(each["settings"]) == training]
    return sorted(curve, key=_epochs)


def _epochs(trial: Trial) -> int:
    return int(trial["settings"].get("epochs", 0))


def _is_done(peer: Peer, settings: Settings, curve: list[Trial]) -> bool:
    if not peer.stops:
        return True
    return (
        is_over([trial["value"] for trial in curve])
        or _epochs(curve[-1]) >= peer.asked(settings)["epochs"][-1]
    )


def is_over(values: list[float]) -> bool:
    """Whether the last stops of one training were no better than one before."""
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
    """Adds what was tried to the file, in place of a trial with the same settings."""
    content = read_trials()
    of_peer = content.setdefault(protocol.name, {})
    name = peer.search or peer.name
    others = [t for t in of_peer.get(name, []) if t["settings"] != trial["settings"]]
    of_peer[name] = [*others, trial]
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
