"""The peers, each fitted in the peers' environment: see `python -m ....peers`.

A module here has functions `fit(events, settings, seed) -> Scorer` and imports nothing
of the pipeline, which the peers' environment does not have.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

from benchmarks.quality.split import Events, Scorer

Fit = Callable[[Events, dict[str, Any], int], Scorer]

# Peer -> module here and its function.
_FITS: Final = {
    "popularity": ("popularity", "fit_popularity"),
    "recent-popularity": ("popularity", "fit_recent_popularity"),
    "item-knn": ("item_knn", "fit"),
    "ease": ("ease", "fit"),
    "implicit-als": ("implicit_models", "fit_als"),
    "implicit-bpr": ("implicit_models", "fit_bpr"),
    "lightfm-warp": ("lightfm_warp", "fit"),
    "irspack-slim": ("irspack_models", "fit_slim"),
    "irspack-ials": ("irspack_models", "fit_ials"),
    "tfrs-tutorial": ("tfrs_model", "fit"),
    "tfrs-tuned": ("tfrs_model", "fit"),
}


def fit_of(peer: str) -> Fit:
    """Imports what fits a peer, and nothing of the others."""
    module, function = _FITS[peer]
    fit: Fit = getattr(importlib.import_module(f"{__name__}.{module}"), function)
    return fit
