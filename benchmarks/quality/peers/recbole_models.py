"""GRU4Rec and SASRec of RecBole, on PyTorch.

The models, their losses and their settings are RecBole's. Its reader of files and its
trainer are not used: the first orders events of one second anew. What they do is done
here: each event is a sample of its own with the events before as the sequence, and Adam
takes batches in random order.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import numpy as np
import torch
from recbole.model.sequential_recommender.gru4rec import GRU4Rec
from recbole.model.sequential_recommender.sasrec import SASRec

from benchmarks.quality.peers.fitted import Fitted
from benchmarks.quality.split import Array, Events

_BUILDERS: Final = {"gru4rec": GRU4Rec, "sasrec": SASRec}
_FIELDS: Final = {
    "USER_ID_FIELD": "user_id",
    "ITEM_ID_FIELD": "item_id",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "item_length",
    "NEG_PREFIX": "neg_",
}
_QUERIES: Final = 1024


def train(events: Events, settings: dict[str, Any], seed: int) -> Iterator[Fitted]:
    """Trains with the softmax over all movies and stops after each number of epochs.

    Args:
      events: What it is fitted to.
      settings: Of the model, and `model`, `length` of the sequences, `batch_size`,
        `learning_rate`, and `epochs`, a list, ascending.
      seed: Of all random numbers.

    Sources: Tan et al., DLRS 2016, arXiv:1606.08117 (GRU4Rec); Kang and McAuley, ICDM
    2018, arXiv:1808.09781 (SASRec).
    """
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)  # as RecTools' models
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    length = settings["length"]
    config = {
        **settings,
        **_FIELDS,
        "MAX_ITEM_LIST_LENGTH": length,
        "device": device,
        "loss_type": "CE",
    }
    # RecBole's 0 is padding.
    catalogue = SimpleNamespace(num=lambda field: events.num_movies + 1)
    model = _BUILDERS[settings["model"]](config, catalogue).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"])
    movies = torch.as_tensor(events.movie.astype(np.int64) + 1, device=device)
    start = _first_of_user(events.user)
    samples = np.flatnonzero(np.arange(len(start)) > start)
    start_of, samples = (torch.as_tensor(a, device=device) for a in (start, samples))
    numbers = sum(each.numel() for each in model.parameters())
    done = 0
    for stop in settings["epochs"]:
        model.train()
        for _ in range(stop - done):
            order = samples[torch.randperm(len(samples), device=device)]
            for batch in order.split(settings["batch_size"]):
                optimizer.zero_grad()
                sequences = _sequences(movies, start_of[batch], batch, length)
                loss = model.calculate_loss({**sequences, "item_id": movies[batch]})
                loss.backward()
                optimizer.step()
        done = stop
        yield Fitted(_scorer(model, events, movies, length), numbers)


def _first_of_user(user: Array) -> Array:
    """Place of the first event of each event's user."""
    is_first = np.append(True, np.diff(user) != 0)
    return np.maximum.accumulate(np.where(is_first, np.arange(len(user)), 0))


def _sequences(
    movies: torch.Tensor, start: torch.Tensor, end: torch.Tensor, length: int
) -> dict[str, torch.Tensor]:
    """The last events from `start` to before `end`, padded behind."""
    start = torch.maximum(start, end - length)
    places = start[:, None] + torch.arange(length, device=movies.device)
    is_inside = places < end[:, None]
    values = movies[places.clamp(max=len(movies) - 1)]
    return {
        "item_id_list": torch.where(is_inside, values, 0),
        "item_length": end - start,
    }


def _scorer(model: Any, events: Events, movies: torch.Tensor, length: int) -> Any:
    ends = np.cumsum(np.bincount(events.user, minlength=events.num_users))
    starts = np.append(0, ends[:-1])

    def score(users: Array) -> Array:
        model.eval()
        parts = []
        for first in range(0, len(users), _QUERIES):
            asked = users[first : first + _QUERIES]
            start, end = (
                torch.as_tensor(bound[asked], device=movies.device)
                for bound in (starts, ends)
            )
            with torch.no_grad():
                found = model.full_sort_predict(_sequences(movies, start, end, length))
            parts.append(found[:, 1:].float().cpu().numpy())
        return np.concatenate(parts)

    return score
