"""`python -m benchmarks.quality`: our model and its peers, on one split by one code."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.quality.environment import environment
from benchmarks.quality.grids import PEERS
from benchmarks.quality.measure import measure
from benchmarks.quality.peer import Peer
from benchmarks.quality.peer_runs import Measured, PeerRuns
from benchmarks.quality.peer_settings import Found, found, is_over
from benchmarks.quality.prepared import Prepared, prepare
from benchmarks.quality.protocols import PROTOCOLS, Protocol
from benchmarks.quality.split import Split
from benchmarks.quality.table import Row, table_of, write
from benchmarks.quality.worker import WorkerError, run_worker
from pipeline.runs.workspace import Workspace


def main() -> None:
    """See the module's docstring."""
    options = _parser().parse_args()
    with_data = dict(item.split("=", 1) for item in options.data_dir)
    for name in options.protocols or PROTOCOLS:
        protocol = PROTOCOLS[name]
        folder = with_data.get(protocol.dataset)
        workspace = Workspace.open(options.workspace, create=True)
        prepared = prepare(protocol, workspace, Path(folder) if folder else None)
        chosen = set(options.only.split(",")) if options.only else None
        peers = [
            peer
            for peer in PEERS.values()
            if (peer.name in chosen if chosen else not peer.is_untuned)
        ]
        runs = PeerRuns(prepared.split)
        if options.tune:
            for peer in peers:
                if peer.is_searched:
                    runs.tune(peer, protocol, options.trials)
            continue
        skipped = options.skip.split(",")
        for peer in peers:
            if peer.name not in skipped:
                for row in _peer_rows(runs, peer, protocol, options.seeds):
                    write(protocol, row)
        for variant in protocol.ours:
            if not chosen or variant in chosen:
                write(protocol, _our_row(prepared, protocol, variant, options.seeds))
        print(table_of(protocol), flush=True)


def _peer_rows(
    runs: PeerRuns, peer: Peer, protocol: Protocol, seeds: int
) -> Iterator[Row]:
    """The row of a peer; of an untuned one the row so far, time and again."""
    if peer.is_untuned:
        yield from untuned_rows(runs, peer, protocol, environment(peer.python))
    else:
        yield _peer_row(runs, peer, protocol, seeds)


def _peer_row(runs: PeerRuns, peer: Peer, protocol: Protocol, seeds: int) -> Row:
    best = found(protocol, peer) if peer.is_searched else Found(peer.fixed, 0, "")
    if not best:
        return Row(peer.title, {}, {}, [], {}, "not tuned: run with --tune first")
    count = seeds if peer.is_random else 1
    jobs = [(peer.asked(best.settings), seed) for seed in range(count)]
    try:
        measured = environment(peer.python)
        results = list(runs.fits(peer, jobs))
    except WorkerError as error:
        return Row(peer.title, {}, {}, [], best.settings, str(error))
    row = _row(peer.title, protocol, runs.num_movies, results, best.settings)
    return row._replace(measured=measured, unfinished=best.unfinished)


def untuned_rows(
    runs: PeerRuns, peer: Peer, protocol: Protocol, measured: str
) -> Iterator[Row]:
    """The best of its stops on the eval split so far, whenever one was measured."""
    metric = protocol.metrics[0]
    (settings,) = map(peer.asked, peer.candidates())
    rows: list[Row] = []
    with closing(runs.fits(peer, [(settings, 0)])) as results:
        for stop, result in zip(peer.stopped(settings), results, strict=True):
            row = _row(peer.title, protocol, runs.num_movies, [result], stop)
            rows.append(row._replace(measured=measured))
            values = [row.values[metric][0] for row in rows]
            best = rows[int(np.argmax(values))]
            tried = ", ".join(
                f"{row.settings['epochs']}: {value:.4f}"
                for row, value in zip(rows, values, strict=True)
            )
            yield best._replace(
                unfinished="one of its settings, and the number of epochs that is best "
                f"on the eval split, in its favour ({metric} by epochs: {tried})"
            )
            if is_over(values):
                return


def _our_row(prepared: Prepared, protocol: Protocol, variant: str, seeds: int) -> Row:
    assignments = protocol.ours[variant]
    measured = environment()
    with tempfile.TemporaryDirectory() as folder:
        jobs = [(seed, f"{folder}/{seed}.npy") for seed in range(seeds)]
        work = {
            "protocol": protocol.name,
            "folder": str(prepared.folder),
            "assignments": assignments,
            "jobs": jobs,
        }
        found = run_worker(sys.executable, "benchmarks.quality.ours", work)
        results = [
            Measured(np.load(path), result["seconds"], result["numbers"])
            for (_, path), result in zip(jobs, found, strict=True)
        ]
    num_movies = Split.load(prepared.split).events.num_movies
    settings = dict(item.split("=", 1) for item in assignments)
    row = _row(variant, protocol, num_movies, results, settings)
    return row._replace(measured=measured)


def _row(
    title: str,
    protocol: Protocol,
    num_movies: int,
    results: list[Measured],
    settings: dict[str, object],
) -> Row:
    measured = [measure(r.ranks, num_movies, protocol.metrics) for r in results]
    row = Row(
        title,
        {name: [one[name][0] for one in measured] for name in protocol.metrics},
        {name: measured[0][name][1] for name in protocol.metrics},
        [result.seconds for result in results],
        settings,
        numbers=results[0].numbers,
    )
    means = {name: round(float(np.mean(v)), 4) for name, v in row.values.items()}
    print(
        f"{protocol.name}  {title}  {means}  {np.mean(row.seconds):.1f} s", flush=True
    )
    return row


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.quality", description=__doc__)
    parser.add_argument(
        "protocols", nargs="*", metavar="PROTOCOL", help=str([*PROTOCOLS])
    )
    parser.add_argument("--tune", action="store_true", help="choose peers' settings")
    parser.add_argument(
        "--trials", type=int, help="settings of a peer to try at most; the rest later"
    )
    parser.add_argument("--only", help="names of rankers, separated by commas")
    parser.add_argument("--skip", default="", help="peers to leave out, likewise")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument(
        "--data-dir", action="append", default=[], metavar="DATASET=FOLDER"
    )
    return parser


if __name__ == "__main__":
    main()
