"""Loads `two-tower serve` over HTTP, across two new versions and a rollback.

    python benchmarks/serving_load.py WORKSPACE --output results/serving-load.md

The workspace must have a pushed model; the server gets a copy of its newest version.
Server and client are processes of one machine, and share its cores. Connections are
kept alive, and each sends its next request when the last one is answered. A request
fails if it is answered by anything but 200 with the movies that were asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.serving_directory.withdrawal import roll_back

NAME = "two-tower"
K = 10
HEAD_END = b"\r\n\r\n"


@dataclass
class Load:
    """What a load came to.

    Attributes:
      seconds: How long it took.
      latencies: Seconds of each request that was answered, with its start.
      failures: What went wrong, with its count.
      versions: Version -> number of answers.
      events: Second and what happened.
    """

    seconds: float = 0
    latencies: list[tuple[float, float]] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    events: list[tuple[float, str]] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """Returns the figures."""
        found = sorted(latency for _, latency in self.latencies)
        cuts = statistics.quantiles(found, n=1000) if len(found) > 1 else [0.0] * 999
        return {
            "seconds": round(self.seconds, 1),
            "requests": len(found),
            "failed": sum(self.failures.values()),
            "requests_per_second": round(len(found) / self.seconds),
            "p50_ms": round(cuts[499] * 1000, 2),
            "p99_ms": round(cuts[989] * 1000, 2),
            "p999_ms": round(cuts[998] * 1000, 2),
            "max_ms": round(found[-1] * 1000, 1) if found else 0,
        }


def request_of(user: str, host: str) -> bytes:
    """Returns a whole request."""
    content = {"instances": [{"user_id": user, "k": K}]}
    body = json.dumps(content).encode()
    head = (
        f"POST /v1/models/{NAME}:predict HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connection(
    port: int, requests: Sequence[bytes], until: float, load: Load, start: float
) -> None:
    """Sends requests on one connection, one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        begin = time.perf_counter()
        try:
            writer.write(random.choice(requests))
            head = await reader.readuntil(HEAD_END)
            length = int(head.partition(b"content-length: ")[2].split(b"\r")[0])
            body = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError) as error:
            load.failures[type(error).__name__] += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        if not head.startswith(b"HTTP/1.1 200") or b'"movie_ids":["' not in body:
            load.failures[f"{head[9:12].decode()} {body[:200].decode()}"] += 1
            continue
        load.latencies.append((begin - start, time.perf_counter() - begin))
        version = re.search(rb"x-model-version: (\d+)", head)
        load.versions[version[1].decode() if version else "?"] += 1
    writer.close()


def run_load(
    port: int,
    users: Sequence[str],
    connections: int,
    seconds: float,
    events: Sequence[tuple[float, Callable[[], str]]] = (),
) -> Load:
    """Loads the server, and lets events happen meanwhile."""
    requests = [request_of(user, f"127.0.0.1:{port}") for user in users]
    load = Load()
    start = time.perf_counter()

    def happen() -> None:
        for at, event in events:
            time.sleep(max(at - (time.perf_counter() - start), 0))
            begin = time.perf_counter() - start
            load.events.append((begin, event()))

    thread = threading.Thread(target=happen)
    thread.start()

    async def run() -> None:
        await asyncio.gather(
            *(
                connection(port, requests, start + seconds, load, start)
                for _ in range(connections)
            )
        )

    asyncio.run(run())
    load.seconds = time.perf_counter() - start
    thread.join()
    return load


class Server:
    """`two-tower serve` of a serving directory, in a process of its own."""

    def __init__(self, serving: Path, log: Path) -> None:
        self._log = open(log, "w")
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "serve", "--serving-dir", str(serving)]
            + ["--port", "0", "--grpc-port", "off"],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(match[1])
                break
        else:
            raise SystemExit(log.read_text())
        self.start_seconds = time.perf_counter() - begin

    def rss_mib(self) -> float:
        """Returns its resident memory."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def metrics(self) -> str:
        """Returns its metrics."""
        url = f"http://127.0.0.1:{self.port}/monitoring/prometheus/metrics"
        with urllib.request.urlopen(url) as answer:
            return str(answer.read().decode())

    def stop(self) -> int:
        """Ends it; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


def push(model: Path, serving: Path, version: int) -> str:
    """Copies a model to a new version, as Pusher does."""
    part = serving / f".pushing-{version}"
    shutil.copytree(model, part)
    part.rename(serving / str(version))
    return f"version {version} pushed"


def go_back(serving: Path) -> str:
    """Withdraws the newest version."""
    change = roll_back(str(serving), reason="load test")
    return f"rolled back from version {change.live_before} to {change.live}"


def measure(model: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """Runs all loads against one server."""
    serving = folder / "serving"
    serving.mkdir()
    push(model, serving, 1)
    server = Server(serving, folder / "server.log")
    try:
        found = loads(server, model, serving, seconds)
    finally:
        exit_code = server.stop()
    log = (folder / "server.log").read_text().splitlines()
    return found | {"exit_code": exit_code, "server_log": log}


def loads(server: Server, model: Path, serving: Path, seconds: float) -> dict[str, Any]:
    """Loads a server that runs, first steadily, then across changes of the version."""
    users = (model / "assets" / "user_id").read_text().split()
    found: dict[str, Any] = {"start_seconds": round(server.start_seconds, 1)}
    run_load(server.port, users, 8, 3)  # not counted
    found["rss_mib_before"] = round(server.rss_mib())
    found["steady"] = {
        str(connections): run_load(server.port, users, connections, 8).row()
        for connections in (1, 4, 16, 64)
    }
    events = [
        (seconds * 1 / 6, lambda: push(model, serving, 2)),
        (seconds * 3 / 6, lambda: push(model, serving, 3)),
        (seconds * 4.5 / 6, lambda: go_back(serving)),
    ]
    load = run_load(server.port, users, 16, seconds, events)
    found["reloads"] = load.row() | {
        "connections": 16,
        "answers_by_version": dict(sorted(load.versions.items())),
        "failures": dict(load.failures),
        "events": [f"{at:.1f} s: {what}" for at, what in load.events],
        "p99_ms_by_5_seconds": by_time(load, 5),
    }
    time.sleep(3)
    found["rss_mib_after"] = round(server.rss_mib())
    batches = re.search(r"(?m)^two_tower_server_batches_total (\S+)", server.metrics())
    found["tensorflow_calls"] = int(float(batches[1])) if batches else 0
    return found


def by_time(load: Load, width: float) -> list[float]:
    """Returns the 99th percentile of each stretch of time, in milliseconds."""
    parts: dict[int, list[float]] = {}
    for at, latency in load.latencies:
        parts.setdefault(int(at // width), []).append(latency)
    return [
        round(sorted(part)[int(len(part) * 0.99)] * 1000, 1)
        for _, part in sorted(parts.items())
    ]


def page(found: dict[str, Any]) -> str:
    """Returns the results as Markdown."""
    columns = ("requests_per_second", "p50_ms", "p99_ms", "p999_ms", "max_ms", "failed")
    rows = [(f"{n} connections", row) for n, row in found["steady"].items()]
    rows.append(("16 connections, two reloads and a rollback", found["reloads"]))
    lines = [
        "# The model server under load",
        "",
        f"{found['machine']}. Made by `benchmarks/serving_load.py`: the server and the "
        "client, a process each, share the cores; HTTP with kept connections, "
        f"`serving_default`, one user a request, k {K}.",
        "",
        f"From start to the first answer {found['start_seconds']} s; memory before "
        f"{found['rss_mib_before']} MiB and, after three more versions were loaded and "
        f"dropped, {found['rss_mib_after']} MiB.",
        "",
        "| load | seconds | requests | requests/s | p50 ms | p99 ms | p99.9 ms | "
        "max ms | failed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, row in rows:
        cells = " | ".join(str(row[column]) for column in columns)
        lines.append(f"| {name} | {row['seconds']} | {row['requests']:,} | {cells} |")
    reloads = found["reloads"]
    lines += ["", "Under reloads, answers by version: "]
    lines[-1] += ", ".join(
        f"{v}: {n:,}" for v, n in reloads["answers_by_version"].items()
    )
    lines[-1] += "; p99 of each 5 s, in ms: "
    lines[-1] += ", ".join(map(str, reloads["p99_ms_by_5_seconds"])) + "."
    lines += ["", "What happened, and the server's log:", "", "```"]
    lines += [*reloads["events"], "", *found["server_log"], "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Measures, and writes the page and the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--output", type=Path, help="page; figures go beside it")
    arguments = parser.parse_args()
    load_before = os.getloadavg()[0]
    models = (arguments.workspace / "serving").glob("[0-9]*")
    model = max(models, key=lambda path: int(path.name))
    with tempfile.TemporaryDirectory() as folder:
        found = measure(model, Path(folder), arguments.seconds)
        found["server_log"] = [line.replace(folder, "") for line in found["server_log"]]
    found["machine"] = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"load average before {load_before:.1f}"
    )
    text = page(found)
    if arguments.output:
        arguments.output.write_text(text)
        figures = json.dumps(found, indent=2) + "\n"
        arguments.output.with_suffix(".json").write_text(figures)
    print(text)


if __name__ == "__main__":
    main()
