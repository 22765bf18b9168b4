"""SASRec, BERT4Rec, eSASRec and HSTU of RecTools, on PyTorch.

The settings are the arguments of RecTools' models, and `model`, which of them.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models.nn.transformers.bert4rec import BERT4RecModel
from rectools.models.nn.transformers.hstu import HSTUModel
from rectools.models.nn.transformers.lightning import TransformerLightningModule
from rectools.models.nn.transformers.ligr import LiGRLayers
from rectools.models.nn.transformers.sasrec import SASRecModel

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Array, Events

# Below the score of any movie that the model knows, and ranked as usual.
_UNKNOWN: Final = -1e9
_BUILDERS: Final = {
    "sasrec": SASRecModel,
    "bert4rec": BERT4RecModel,
    "hstu": HSTUModel,
    # SASRec with the layers of LiGR: Tikhonovich et al., RecSys 2025, arXiv:2508.06450.
    "esasrec": SASRecModel,
}
_LAYERS: Final = {"esasrec": {"transformer_layers_type": LiGRLayers}}
# Of a batch: movies to predict, their weights, and movies sampled as negatives.
_TARGETS: Final = ("y", "yw", "negatives")
_ROWS_OF_A_PART: Final = 128


def train(events: Events, settings: dict[str, Any], seed: int) -> Iterator[Fitted]:
    """Trains on each user's last events and stops after each number of epochs.

    Args:
      events: What it is fitted to.
      settings: Of the model; `epochs` is a list, ascending. The learning rate is
        constant: a longer training begins as a shorter one does.
      seed: Of all random numbers.

    Sources: Kang and McAuley, ICDM 2018, arXiv:1808.09781 (SASRec); Sun et al., CIKM
    2019, arXiv:1904.06690 (BERT4Rec); Petrov and Macdonald, RecSys 2023,
    arXiv:2308.07192 (gBCE); Zhai et al., ICML 2024, arXiv:2402.17152 (HSTU).
    """
    _quiet()
    # The softmax of a confident model has many: a step of the published SASRec takes
    # four times as long with them, on ML-1M.
    torch.set_flush_denormal(True)
    seed_everything(seed)
    settings = dict(settings)
    name, stops = settings.pop("model"), settings.pop("epochs")
    model = _BUILDERS[name](
        **_LAYERS.get(name, {}), **settings, lightning_module_type=_Training
    )
    dataset = Dataset.construct(_frame(events))
    done = 0
    for stop in stops:
        model.fit_partial(dataset, min_epochs=stop - done, max_epochs=stop - done)
        done = stop
        numbers = sum(each.numel() for each in model.torch_model.parameters())
        yield Fitted(_scorer(model, dataset, events), numbers)


class _Training(TransformerLightningModule):
    """RecTools' losses, of the positions alone that have a target, in parts.

    The value is the same. RecTools computes the logits of all positions at once, those
    of padding and of what BERT4Rec does not mask too, and looks up the vector of each
    negative for each position: on a processor it takes most of the time to move them.
    """

    def training_step(
        self, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> torch.Tensor:
        """The loss of one batch."""
        is_target = batch["y"] != 0
        movies = self.torch_model.item_model.get_all_embeddings()
        sessions = self.torch_model.encode_sessions(batch, movies)[is_target]
        targets = {key: batch[key][is_target] for key in _TARGETS if key in batch}
        return _MeanInParts.apply(sessions, movies, targets, self._loss_of)

    def _loss_of(
        self,
        sessions: torch.Tensor,
        movies: torch.Tensor,
        targets: dict[str, torch.Tensor],
    ) -> torch.Tensor:
        logits = self.torch_model.similarity_module(sessions, movies) / self.logits_t
        if self.loss == "softmax":
            # As RecTools' own, whose movies are not in the last dimension: twice as
            # slow. All weights are 1.
            return torch.nn.functional.cross_entropy(logits, targets["y"])
        if "negatives" in targets:
            asked = torch.cat([targets["y"][:, None], targets["negatives"]], dim=1)
            logits = logits.gather(1, asked)
        # As if each were the only one of a session.
        return self.loss_calculator(
            logits[:, None], targets["y"][:, None], targets["yw"][:, None]
        )


class _MeanInParts(torch.autograd.Function):
    """Mean loss of rows, whose logits of one part fit into a processor's cache."""

    @staticmethod
    def forward(
        ctx: Any,
        sessions: torch.Tensor,
        movies: torch.Tensor,
        targets: dict[str, torch.Tensor],
        loss_of: Any,
    ) -> torch.Tensor:
        """Computes the gradients too: the logits of a part are not kept."""
        movies = movies.detach().requires_grad_()
        total, gradients = torch.zeros_like(sessions[0, 0]), []
        for rows in torch.arange(len(sessions)).split(_ROWS_OF_A_PART):
            part = sessions[rows].detach().requires_grad_()
            of_part = {key: values[rows] for key, values in targets.items()}
            with torch.enable_grad():
                loss = loss_of(part, movies, of_part) * (len(rows) / len(sessions))
            loss.backward()
            total += loss.detach()
            gradients.append(part.grad)
        ctx.save_for_backward(torch.cat(gradients), movies.grad)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        """As computed before."""
        of_sessions, of_movies = ctx.saved_tensors
        return gradient * of_sessions, gradient * of_movies, None, None


def _scorer(model: Any, dataset: Dataset, events: Events) -> Any:
    """Scores of all movies, those that the user has seen included."""

    def score(users: Array) -> Array:
        preparator = model.data_preparator
        context = _now(events, users) if preparator.add_unix_ts else None
        asked = preparator.transform_dataset_u2i(dataset, users, context)
        # Its rows are in the order of its own numbers of users.
        batches = preparator.get_dataloader_recommend(asked, model.recommend_batch_size)
        by_user, by_movie = model.lightning_model._get_user_item_embeddings(
            batches, model.recommend_torch_device
        )
        known = preparator.get_known_item_ids().astype(np.int64)
        inside = preparator.get_known_items_sorted_internal_ids()
        asked_movies = by_movie.cpu()[torch.as_tensor(inside)]
        # Of unit vectors if the model's scores are cosines.
        values = model.torch_model.similarity_module(by_user, asked_movies).numpy()
        scores = np.full((len(users), events.num_movies), _UNKNOWN, np.float32)
        row = {user: row for row, user in enumerate(users.tolist())}
        rows = [row[user] for user in asked.user_id_map.external_ids.tolist()]
        scores[np.ix_(rows, known)] = values
        model.lightning_model.train()
        return scores

    return score


def _frame(events: Events) -> pd.DataFrame:
    """Interactions; RecTools sorts them by time, and keeps the order of equal times."""
    return pd.DataFrame(
        {
            Columns.User: events.user,
            Columns.Item: events.movie,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(events.timestamp, unit="s"),
        }
    )


def _now(events: Events, users: Array) -> pd.DataFrame:
    """Time of each request, which HSTU reads as RecTools and its authors evaluate it.

    No other ranker here knows how long the user was away.
    """
    return pd.DataFrame(
        {
            Columns.User: users,
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(events.request_time[users], unit="s"),
        }
    )


def _quiet() -> None:
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
