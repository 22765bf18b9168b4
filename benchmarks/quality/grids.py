"""The peers: their settings, and the grids that these are chosen from."""

from __future__ import annotations

from typing import Final

from benchmarks.quality.peer import Peer
from benchmarks.quality.sequential_grids import SEQUENTIAL_PEERS

_TUTORIAL: Final = {
    "dim": 32,
    "learning_rate": 0.1,
    "batch_size": 8192,
    "epochs": 3,
    "log_q": False,
    "metrics": False,
}

PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer("popularity", "popularity", False, {}, {}),
        Peer(
            "recent-popularity",
            "popularity of late",
            False,
            {},
            {"days": [0.25, 1, 2, 4, 7, 14, 30, 60, 120, 365]},
        ),
        Peer(
            "decayed-popularity",
            "popularity, decayed",
            False,
            {},
            {"half_life": [0.1, 0.25, 1, 2, 4, 7, 14, 30, 60, 120, 365]},
        ),
        Peer(
            "markov-first-order",
            "Markov chain, first order",
            False,
            {"reach": 1, "decay": 1.0, "events": 1, "fade": 1.0, "shrink": 1},
            {},
        ),
        Peer(
            "markov",
            "Markov chain, last events",
            False,
            {"shrink": 10},
            {
                "reach": [3, 5, 10, 20],
                "decay": [0.7, 0.85],
                "events": [10, 20],
                "fade": [0.55, 0.7, 0.85],
            },
        ),
        Peer(
            "item-knn",
            "item-KNN (cosine)",
            False,
            {},
            {"neighbours": [20, 50, 100, 200, 400], "shrink": [0, 0.3, 1, 3, 10]},
        ),
        Peer(
            "ease",
            "EASE",
            False,
            {},
            {"regularization": [10, 30, 100, 200, 400, 700, 1000, 2000]},
        ),
        Peer(
            "implicit-als",
            "implicit ALS",
            True,
            {"iterations": 15},
            {
                "factors": [16, 32, 64, 128],
                "regularization": [0.01, 0.1, 1],
                "alpha": [0.3, 1, 3, 10],
            },
        ),
        Peer(
            "implicit-bpr",
            "implicit BPR",
            True,
            {},
            {
                "factors": [64],
                "learning_rate": [0.01, 0.03, 0.1],
                "regularization": [0.01, 0.03, 0.1],
                "iterations": [100, 300],
            },
        ),
        Peer(
            "lightfm-warp",
            "LightFM WARP",
            True,
            {"max_sampled": 30},
            {
                "no_components": [32, 64, 128],
                "learning_rate": [0.02, 0.05],
                "item_alpha": [0, 1e-5, 1e-4, 1e-3],
                "epochs": [30],
            },
        ),
        Peer(
            "irspack-slim",
            "irspack SLIM",
            False,
            {},
            {
                "alpha": [0.001, 0.003, 0.01, 0.03, 0.1, 0.3],
                "l1_ratio": [0.003, 0.01, 0.1, 0.3],
            },
        ),
        Peer(
            "irspack-ials",
            "irspack iALS",
            True,
            {},
            {
                "n_components": [32, 64, 128, 256],
                "alpha0": [0.1, 0.3, 1, 3],
                "reg": [1e-3, 3e-3, 1e-2, 3e-2],
            },
        ),
        Peer("tfrs-tutorial", "TFRS tutorial", True, _TUTORIAL, {}, fit="tfrs"),
        Peer(
            "tfrs-tuned",
            "TFRS, tuned, logQ",
            True,
            {**_TUTORIAL, "log_q": True},
            {
                "dim": [64],
                "learning_rate": [0.1, 0.3],
                "batch_size": [512],
                "epochs": [15],
            },
            fit="tfrs",
        ),
        *SEQUENTIAL_PEERS,
    )
}
