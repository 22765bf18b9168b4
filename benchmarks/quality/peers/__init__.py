"""The peers, each fitted in an environment of the peers: see `python -m ....peers`.

A module here has functions `fit(events, settings, seed) -> Fitted`, or a generator that
yields one at each number of `settings["epochs"]`. It imports nothing of the pipeline,
which these environments do not have.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Events

Fit = Callable[[Events, dict[str, Any], int], Fitted | Iterator[Fitted]]

# What `grids.Peer.fit` names -> module here and its function.
_FITS: Final = {
    "popularity": ("popularity", "fit_popularity"),
    "recent-popularity": ("popularity", "fit_recent_popularity"),
    "decayed-popularity": ("popularity", "fit_decayed_popularity"),
    "markov": ("markov", "fit"),
    "markov-first-order": ("markov", "fit"),
    "item-knn": ("item_knn", "fit"),
    "ease": ("ease", "fit"),
    "implicit-als": ("implicit_models", "fit_als"),
    "implicit-bpr": ("implicit_models", "fit_bpr"),
    "lightfm-warp": ("lightfm_warp", "fit"),
    "irspack-slim": ("irspack_models", "fit_slim"),
    "irspack-ials": ("irspack_models", "fit_ials"),
    "tfrs": ("tfrs_model", "fit"),
    "rectools": ("rectools_models", "train"),
    "recbole": ("recbole_models", "train"),
}


def fit_of(name: str) -> Fit:
    """Imports what fits a peer, and nothing of the others."""
    module, function = _FITS[name]
    fit: Fit = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return fit
