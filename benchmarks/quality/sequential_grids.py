"""The sequential peers: published settings, and what else is tried on validation.

A row of published settings has its number of epochs alone from the validation split, as
their papers stop early by it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from benchmarks.quality.peer import Peer, Settings
from benchmarks.quality.worker import SEQUENTIAL_PYTHON

# Epochs of RecTools' models pass over each user once; those of RecBole over each event.
_EPOCHS: Final = (10, 20, 30, 40, 50, 60, 80, 100, 130, 160, 200)
_MASKED_EPOCHS: Final = (50, 100, 150, 200, 250, 300, 400)
_SMALL_EPOCHS: Final = (10, 20, 30, 40, 50, 60, 80, 100)
_SMALL_MASKED_EPOCHS: Final = (25, 50, 75, 100, 150, 200, 300)
_EVENT_EPOCHS: Final = (3, 6, 9, 12, 16, 20, 30, 40, 60)

# RecTools' defaults, but for the epochs; eSASRec is these with other layers and loss.
_RECTOOLS: Final = {
    "n_blocks": 2,
    "n_heads": 4,
    "n_factors": 256,
    "dropout_rate": 0.2,
    "session_max_len": 100,
    "lr": 0.001,
    "batch_size": 128,
}
# Petrov and Macdonald's for ML-1M, arXiv:2308.07192: RecTools' default is 1 negative.
_SAMPLED: Final = {"loss": "sampled_softmax", "n_negatives": 256}
_GBCE: Final = {"loss": "gBCE", "n_negatives": 256, "gbce_t": 0.75}
_GSASREC: Final = {
    **_RECTOOLS,
    **_GBCE,
    "model": "sasrec",
    "n_heads": 1,
    "n_factors": 128,
    "dropout_rate": 0.0,
    "session_max_len": 200,
}
# Those of its authors for ML-1M, arXiv:2402.17152: scores are cosines / temperature.
_HSTU: Final = {
    "relative_time_attention": True,
    "relative_pos_attention": True,
    "similarity_module_kwargs": {"distance": "cosine"},
    "lightning_module_kwargs": {"logits_t": 0.05},
}
_HSTU_PUBLISHED: Final = {
    **_RECTOOLS,
    **_HSTU,
    "model": "hstu",
    "n_heads": 1,
    "n_factors": 50,
    "session_max_len": 200,
    "loss": "sampled_softmax",
    "n_negatives": 128,
}
# RecBole's own.
_GRU4REC: Final = {
    "model": "gru4rec",
    "length": 50,
    "batch_size": 2048,
    "learning_rate": 0.001,
    "embedding_size": 64,
    "hidden_size": 128,
    "num_layers": 1,
    "dropout_prob": 0.3,
}
_RECBOLE_SASREC: Final = {
    "model": "sasrec",
    "length": 50,
    "batch_size": 2048,
    "learning_rate": 0.001,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_size": 64,
    "inner_size": 256,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
}


def _small(model: str, **more: Any) -> Settings:
    """What two cores can train: few numbers, and more steps in an epoch."""
    small = {
        "n_heads": 2,
        "n_factors": 64,
        "dropout_rate": 0.2,
        "session_max_len": 100,
        "model": model,
        "loss": "softmax",
        "batch_size": 16,
        "epochs": _SMALL_EPOCHS,
    }
    return {**_RECTOOLS, **small, **more}


class _Search(NamedTuple):
    """A model: its published settings, the others that are tried, and the stops."""

    name: str
    title: str
    published: Settings
    others: tuple[Settings, ...]
    stops: tuple[int, ...] = _EPOCHS

    def peers(self) -> list[Peer]:
        """With the published settings, with the best of all, and the first untuned."""
        name, title = self.name, self.title
        trials, first = (*self.others, self.published), self.others[:1]
        return [
            self._peer(f"{name}-published", f"{title}, published", (self.published,)),
            self._peer(name, title, trials),
            self._peer(f"{name}-untuned", f"{title}, untuned", first, is_untuned=True),
        ]

    def _peer(
        self, name: str, title: str, trials: tuple[Settings, ...], **more: Any
    ) -> Peer:
        return Peer(
            name,
            title,
            is_random=True,
            fixed={},
            grid={},
            trials=trials,
            stops=self.stops,
            fit=self.name.partition("-")[0],
            python=SEQUENTIAL_PYTHON,
            search=self.name,
            **more,
        )


_SEARCHES: Final = (
    _Search(
        "rectools-sasrec",
        "SASRec (RecTools)",
        {**_RECTOOLS, "model": "sasrec", "loss": "softmax"},
        (_small("sasrec"), _small("sasrec", dropout_rate=0.5)),
    ),
    _Search(
        "rectools-gsasrec",
        "gSASRec (RecTools)",
        _GSASREC,
        (_small("sasrec", **_GBCE), _small("sasrec", **_GBCE, dropout_rate=0.5)),
    ),
    _Search(
        "rectools-esasrec",
        "eSASRec (RecTools)",
        {**_RECTOOLS, "model": "esasrec", **_SAMPLED},
        (_small("esasrec"), _small("esasrec", dropout_rate=0.5)),
    ),
    _Search(
        "rectools-bert4rec",
        "BERT4Rec (RecTools)",
        {**_RECTOOLS, "model": "bert4rec", "loss": "softmax"},
        (_small("bert4rec", mask_prob=0.3, epochs=_SMALL_MASKED_EPOCHS),),
        _MASKED_EPOCHS,
    ),
    _Search(
        "rectools-hstu",
        "HSTU (RecTools)",
        _HSTU_PUBLISHED,
        (
            _small("hstu", **_HSTU),
            _small("hstu", **{**_HSTU, "relative_time_attention": False}),
        ),
    ),
    _Search(
        "recbole-gru4rec",
        "GRU4Rec (RecBole)",
        _GRU4REC,
        ({**_GRU4REC, "dropout_prob": 0.5, "embedding_size": 128},),
        _EVENT_EPOCHS,
    ),
    _Search(
        "recbole-sasrec",
        "SASRec (RecBole)",
        _RECBOLE_SASREC,
        ({**_RECBOLE_SASREC, "hidden_dropout_prob": 0.2, "attn_dropout_prob": 0.2},),
        _EVENT_EPOCHS,
    ),
)

SEQUENTIAL_PEERS: Final = [peer for search in _SEARCHES for peer in search.peers()]
