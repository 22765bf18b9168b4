"""The peers of the benchmark of quality: what they see, what they score, settings."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.quality import peer_settings
from benchmarks.quality.__main__ import untuned_rows
from benchmarks.quality.grids import PEERS
from benchmarks.quality.measure import ranks_of
from benchmarks.quality.ours import num_parameters
from benchmarks.quality.peer import Peer, Settings
from benchmarks.quality.peer_runs import Measured, PeerRuns
from benchmarks.quality.peer_settings import found, trials_of
from benchmarks.quality.peers import fit_of, markov, popularity
from benchmarks.quality.protocols import PROTOCOLS
from benchmarks.quality.split import PADDING, Events, Queries, Split, last_times, lists
from benchmarks.quality.table import Row, as_markdown
from benchmarks.quality.worker import (
    ROOT,
    SEQUENTIAL_PYTHON,
    WorkerError,
    run_worker,
)

DAY = 86_400
USERS, MOVIES = 12, 30


def events_of(*lines: tuple[int, int, float]) -> Events:
    """Events of (user, movie, day), each user's in time order."""
    user, movie, day = (np.array(column) for column in zip(*lines, strict=True))
    num_users, time = int(user.max()) + 1, (day * DAY).astype(np.int64)
    return Events(
        user.astype(np.int32),
        movie.astype(np.int32),
        np.ones(len(user), np.float32),
        time,
        num_users,
        4,
        last_times(user, time, num_users),
    )


@pytest.fixture(scope="module")
def split() -> Split:
    """Random timelines of which the last event of each user is held out."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 9, USERS)
    user = np.repeat(np.arange(USERS, dtype=np.int32), lengths)
    movie = np.concatenate([rng.permutation(MOVIES)[:n] for n in lengths])
    time = np.concatenate([np.sort(rng.integers(0, 9 * DAY, n)) for n in lengths])
    is_last = np.append(np.diff(user) != 0, True)
    kept = ~is_last
    columns = user, movie.astype(np.int32), np.ones(len(user), np.float32), time
    events = Events(*(column[kept] for column in columns), USERS, MOVIES, time[is_last])
    asked = np.arange(USERS, dtype=np.int32)
    queries = Queries(
        asked,
        lists(events.user, events.movie, asked),
        lists(user[is_last], columns[1][is_last], asked),
    )
    is_validation = np.append(np.diff(events.user) != 0, True)
    return Split(events, is_validation, queries)


def test_nothing_held_out_is_trained_on(split: Split) -> None:
    for validating in (False, True):
        events, queries = split.fitted(validating)
        watched = set(zip(events.user.tolist(), events.movie.tolist(), strict=True))
        for user, seen, held in zip(*queries, strict=True):
            assert {m for u, m in watched if u == user} == set(seen) - {PADDING}
            assert all((user, movie) not in watched for movie in held)
        same = np.diff(events.user) == 0
        assert (np.diff(events.timestamp)[same] >= 0).all()
    # The validation event is each user's newest of training.
    fitted, validation = split.fitted(True)
    for user, (movie,) in zip(validation.user, validation.held_out, strict=True):
        assert split.events.movie[split.events.user == user][-1] == movie
        assert movie not in fitted.movie[fitted.user == user]
        # Asked at the time of that event.
        assert (
            fitted.request_time[user]
            == split.events.timestamp[split.events.user == user].max()
        )


def test_a_request_has_the_time_of_its_held_out_event(split: Split) -> None:
    is_first = np.append(True, np.diff(split.events.user) != 0)
    fitted, _ = split._replace(is_validation=is_first).fitted(True)
    np.testing.assert_array_equal(fitted.request_time, split.events.timestamp[is_first])


def test_chain_of_first_order() -> None:
    events = events_of((0, 0, 1), (0, 1, 2), (1, 0, 1), (1, 1, 2), (2, 1, 1), (2, 0, 2))
    settings = {"reach": 1, "decay": 1.0, "events": 1, "fade": 1.0, "shrink": 1.0}
    scores = markov.fit(events, settings, 0).score(np.array([2, 0]))
    # User 2 ends with movie 0: two of two went on to movie 1. Popularity is 1/2, 1/2.
    np.testing.assert_allclose(scores[0], [1 / 6, 2 / 3 + 1 / 6, 0, 0], atol=1e-6)
    # User 0 ends with movie 1, of which one of one went on to movie 0.
    np.testing.assert_allclose(scores[1], [1 / 2 + 1 / 4, 1 / 4, 0, 0], atol=1e-6)


def test_chain_reads_gaps_and_last_events() -> None:
    events = events_of((0, 0, 1), (0, 1, 2), (0, 2, 3))
    settings = {"reach": 2, "decay": 0.5, "events": 2, "fade": 0.5, "shrink": 1e-9}
    scores = markov.fit(events, settings, 0).score(np.array([0]))[0]
    # 2 leads nowhere: popularity. 1 leads to 2, half as important.
    np.testing.assert_allclose(scores, [1 / 3, 1 / 3, 1 / 3 + 1 / 2, 0], atol=1e-6)


def test_decayed_popularity_reads_no_future() -> None:
    lines = [(0, 0, 0), (1, 0, 1), (1, 1, 2), (2, 2, 9)]
    users = np.array([1, 2])
    fitted = popularity.fit_decayed_popularity(events_of(*lines), {"half_life": 1}, 0)
    expected = [[1 / 4 + 1 / 2, 1, 0, 0], [2**-9 + 2**-8, 2**-7, 1, 0]]
    np.testing.assert_allclose(fitted.score(users), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("popularity", {}),
        ("recent-popularity", {"days": 3}),
        ("decayed-popularity", {"half_life": 3}),
        ("markov", PEERS["markov"].candidates()[0]),
    ],
)
def test_scores_are_of_the_asked_users_and_exclude_nothing(
    split: Split, name: str, settings: dict[str, float], tmp_path: Path
) -> None:
    fitted = fit_of(name)(split.events, settings, 0)
    scores = fitted.score(split.queries.user)
    assert scores.shape == (USERS, MOVIES)
    assert np.isfinite(scores).all()
    assert fitted.numbers > 0
    reverse = fitted.score(split.queries.user[::-1])
    np.testing.assert_array_equal(reverse[::-1], scores)
    np.save(tmp_path / "scores.npy", scores)
    ranks = ranks_of(tmp_path / "scores.npy", split.queries)
    unseen = MOVIES - (split.queries.seen != PADDING).sum(axis=1)
    assert ((ranks[:, 0] >= 1) & (ranks[:, 0] <= unseen)).all()


def test_settings_file_has_trials_of_the_peers() -> None:
    for name, tried in peer_settings.read_trials().items():
        protocol = PROTOCOLS[name]
        owners = {p.search or p.name: p for p in PEERS.values() if p.is_searched}
        for search in tried:
            best = found(protocol, owners[search])
            assert best is not None, search
            values = [trial["value"] for trial in trials_of(protocol, owners[search])]
            assert best.value == max(values)


def test_stops_are_parts_of_one_training() -> None:
    peer = PEERS["rectools-sasrec-published"]
    (candidate,) = peer.candidates()
    asked = peer.asked(candidate)
    assert asked["epochs"] == [*peer.stops]
    first = peer.stopped(asked)[0]
    assert peer.asked(first)["epochs"] == [peer.stops[0]]
    assert candidate in PEERS["rectools-sasrec"].candidates()


def test_search_goes_on_where_it_ended(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_settings, "SETTINGS_FILE", tmp_path / "settings.json")
    split.save(tmp_path / "split.npz")
    runs, protocol = PeerRuns(tmp_path / "split.npz"), PROTOCOLS["ml-1m"]
    peer = Peer(
        "popularity", "", False, {}, {"days": [1, 2]}, stops=(5, 6, 7, 8), fit="fake"
    )
    asked = []

    def fits(
        peer: Peer, jobs: list[tuple[Settings, int]], validating: bool
    ) -> Generator[Measured, None, None]:
        (settings, _), rank = jobs[0], 1
        asked.append(settings["days"])
        for epochs in settings["epochs"]:
            rank = {5: 2, 6: 1}.get(epochs, 3 if settings["days"] == 1 else 1)
            yield Measured(np.full((USERS, 1), rank, np.int32), float(epochs), 1)

    monkeypatch.setattr(runs, "fits", fits)
    runs.tune(peer._replace(grid={"days": [1]}), protocol)
    best = found(protocol, peer)
    assert best is not None
    # Two stops after the best are enough.
    assert len(trials_of(protocol, peer)) == 4
    assert best.settings == {"days": 1, "epochs": 6}
    assert best.unfinished == "of 2 settings 1 not tried"
    runs.tune(peer._replace(stops=(5, 6)), protocol)
    assert asked == [1, 2]
    # Both are as good; what was tried first is kept.
    assert found(protocol, peer) == best._replace(
        unfinished="of 2 settings 1 not trained to the end"
    )
    runs.tune(peer, protocol)
    assert asked == [1, 2, 2]
    assert len(trials_of(protocol, peer)) == 8
    assert found(protocol, peer) == best._replace(unfinished="")


def test_table_tells_sizes_and_unfinished_searches() -> None:
    values = {metric: [0.5] for metric in PROTOCOLS["ml-1m"].metrics}
    errors = dict.fromkeys(values, 0.1)
    rows = [
        Row("tuned", values, errors, [2.0], {}, numbers=1500),
        Row("untuned", values, errors, [3.0], {}, unfinished="1 of 2 left"),
    ]
    text = as_markdown(PROTOCOLS["ml-1m"], rows)
    assert "| 2.0 | 2 | 1 |" in text
    assert "| untuned \\* |" in text
    assert "- untuned: 1 of 2 left." in text
    assert "not finished" not in as_markdown(PROTOCOLS["ml-1m"], rows[:1])


def test_untuned_row_is_the_best_stop_on_the_eval_split(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split.save(tmp_path / "split.npz")
    peer, ranks = PEERS["rectools-hstu-untuned"], iter([3, 1, 2, 2, 1])
    assert not peer.is_searched

    def fits(
        self: PeerRuns, peer: Peer, jobs: list[tuple[Settings, int]]
    ) -> Generator[Measured, None, None]:
        for epochs in jobs[0][0]["epochs"]:
            yield Measured(np.full((USERS, 1), next(ranks), np.int32), epochs, 1)

    monkeypatch.setattr(PeerRuns, "fits", fits)
    runs = PeerRuns(tmp_path / "split.npz")
    protocol = PROTOCOLS["ml-1m"]
    rows = list(untuned_rows(runs, peer, protocol, "here"))
    assert [row.settings["epochs"] for row in rows] == [10, 20, 20, 20]
    assert [row.seconds for row in rows] == [[10], [20], [20], [20]]
    assert rows[-1].unfinished.endswith(
        "by epochs: 10: 0.5000, 20: 1.0000, 30: 0.6309, 40: 0.6309)"
    )


def test_parameters_are_those_of_the_towers(tmp_path: Path) -> None:
    model, encoder = tf.Module(), tf.Module()
    # As `trainer.query_encoder` keeps them: weights, and states of generators.
    encoder._variables = [tf.Variable(tf.ones([3, 2])), tf.Variable([1, 2])]
    model._encoder, model._store = encoder, tf.Variable(tf.ones([7]))
    tf.saved_model.save(model, str(tmp_path))
    assert num_parameters(tmp_path) == 3 * 2


def test_missing_environment_is_told(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match="not installed"):
        run_worker(tmp_path / "python", "benchmarks.quality.environment", {})


SEQUENTIAL_PROGRAM = """
import json, sys
import numpy as np, torch
from pathlib import Path
from benchmarks.quality.peers import rectools_models as rt, recbole_models as rb
from benchmarks.quality.split import Split

torch.set_num_threads(1)
split = Split.load(Path(sys.argv[1]))
events, users = split.events, split.queries.user
size = {"n_blocks": 1, "n_heads": 1, "n_factors": 8, "session_max_len": 4}
gbce = {"loss": "gBCE", "n_negatives": 2, "gbce_t": 0.75}
hstu = {"relative_time_attention": True, "relative_pos_attention": True}
cases = [
    {"model": "sasrec", "loss": "softmax"}, {"model": "sasrec", **gbce},
    {"model": "esasrec", "loss": "sampled_softmax", "n_negatives": 2},
    {"model": "bert4rec", "loss": "softmax"}, {"model": "hstu", **hstu},
]
gru = {"model": "gru4rec", "length": 4, "batch_size": 8, "learning_rate": 0.01,
       "embedding_size": 4, "hidden_size": 4, "num_layers": 1, "dropout_prob": 0.1}
runs = [(rt, {**size, **case}) for case in cases] + [(rb, gru)]
for module, settings in runs:
    for fitted in module.train(events, {**settings, "epochs": [1, 2]}, 0):
        scores = fitted.score(users)
        turned = fitted.score(users[::-1])[::-1]
        print("SCORES", json.dumps({
            "shape": scores.shape, "finite": bool(np.isfinite(scores).all()),
            "turned": float(np.abs(scores - turned).max()), "numbers": fitted.numbers,
        }))

# RecTools' own lists are those of the scores.
dataset = rt.Dataset.construct(rt._frame(events))
cosine = {"similarity_module_kwargs": {"distance": "cosine"}}
for distance in ({}, cosine):
    model = rt.SASRecModel(**size, **distance, epochs=1)
    model.fit(dataset)
    scores = rt._scorer(model, dataset, events)(users)
    own = model.recommend(users, dataset, k=5, filter_viewed=False)
    for user, rows in own.groupby("user_id"):
        first = np.argsort(-scores[list(users).index(user)])[:5]
        assert list(first) == list(rows.sort_values("rank").item_id), user

# The losses and their gradients are RecTools', also of a batch in several parts.
sampled = {"loss": "sampled_softmax", "n_negatives": 2}
cold = {"loss": "softmax", "lightning_module_kwargs": {"logits_t": 0.5}}
rt._ROWS_OF_A_PART = 4
for loss in ({"loss": "softmax"}, cold, gbce, sampled):
    model = rt.SASRecModel(
        **size, **loss, epochs=1, lightning_module_type=rt._Training
    )
    model.fit(dataset)
    own = model.lightning_model.eval()
    batch = next(iter(model.data_preparator.get_dataloader_train()))
    assert (batch["y"] != 0).sum() > 4 and (batch["y"] == 0).any()

    def loss_and_gradients(of):
        own.zero_grad()
        value = of(batch)
        value.backward()
        return [value.detach(), *(p.grad for p in own.parameters() if p.requires_grad)]

    found = loss_and_gradients(lambda batch: own.training_step(batch, 0))
    expected = loss_and_gradients(lambda batch: own.loss_calculator(
        own.get_batch_logits(batch), batch["y"], batch["yw"]))
    assert len(found) > 5 and float(found[0]) > 0
    for one, other in zip(found, expected):
        assert torch.allclose(one.double(), other.double(), 1e-4, 1e-6), loss

# RecBole's sequences end before the event that they predict.
movies = torch.arange(1, 11)
found = rb._sequences(movies, torch.tensor([0, 3]), torch.tensor([2, 9]), 4)
assert found["item_id_list"].tolist() == [[1, 2, 0, 0], [6, 7, 8, 9]], found
assert found["item_length"].tolist() == [2, 4], found
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not SEQUENTIAL_PYTHON.exists(),
    reason="RecTools and RecBole come with the peers: make bench-quality",
)
def test_sequential_peers_score_all_movies_of_the_asked_users(
    split: Split, tmp_path: Path
) -> None:
    split.save(tmp_path / "split.npz")
    done = subprocess.run(
        [str(SEQUENTIAL_PYTHON), "-c", SEQUENTIAL_PROGRAM, str(tmp_path / "split.npz")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [
        json.loads(line[7:]) for line in done.stdout.splitlines() if "SCORES" in line
    ]
    assert len(lines) == 2 * 6
    for line in lines:
        assert line["shape"] == [USERS, MOVIES]
        assert line["finite"]
        assert line["turned"] < 1e-4
    assert len(set(itertools.chain(line["numbers"] for line in lines))) > 3
