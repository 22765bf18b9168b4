"""What Flink's and Spark's own answers mean, and how long one waits for a slot."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from pipeline.engines import cluster, guard, known_options
from pipeline.engines.config import EngineConfig
from pipeline.engines.guard import Guard
from trainer.errors import UserError

FLINK = {
    "taskmanagers": 2,
    "slots-total": 2,
    "slots-available": 1,
    "flink-version": "1.18.1",
}
SPARK = {
    "workers": [
        {"cores": 1, "coresfree": 1, "state": "ALIVE"},
        {"cores": 1, "coresfree": 0, "state": "ALIVE"},
        {"cores": 4, "coresfree": 4, "state": "DEAD"},
    ],
    "activeapps": [{"id": "app-1", "state": "WAITING"}],
}


class Pages:
    """An HTTP server whose pages a test may change."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {"/overview": FLINK, "/json/": SPARK}
        pages = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = pages.content.get(self.path)
                self.send_response(200 if found else 404)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("localhost", 0), Handler)
        self.address = f"localhost:{self.server.server_port}"

    def flink(self, **keys: Any) -> EngineConfig:
        keys = {"environment": "loopback", "shared_dir": "/shared", **keys}
        return EngineConfig(runner="flink", master=self.address, **keys)


@pytest.fixture
def pages() -> Iterator[Pages]:
    made = Pages()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_flinks_overview(pages: Pages) -> None:
    assert cluster.ask(pages.flink()) == cluster.Cluster("1.18.1", 2, 2, 1)


def test_a_version_that_beams_job_server_is_not_made_for(pages: Pages) -> None:
    newest = known_options.versions("flink")[-1]
    assert known_options.version_fault(pages.flink(), f"{newest}.1") is None
    fault = known_options.version_fault(pages.flink(), "1.2.0")
    assert fault is not None
    assert f"the job server is for {newest}" in fault.message
    assert f"supports {', '.join(known_options.versions('flink'))}" in fault.remedy
    with pytest.raises(UserError, match="has version 1.2.0"):
        pages.content["/overview"] = {**FLINK, "flink-version": "1.2.0"}
        with Guard(pages.flink(), []).step():
            raise AssertionError


def test_of_sparks_workers_the_dead_ones_do_not_count(pages: Pages) -> None:
    engine = EngineConfig(
        runner="spark",
        master="spark://localhost:7077",
        web_url=f"http://{pages.address}",
        environment="loopback",
        shared_dir="/shared",
    )
    found = cluster.ask(engine)
    assert (found.workers, found.slots, found.free) == (2, 2, 1)
    assert "waits for one of the 2 cores" in found.hindered([])
    assert not found.hindered(["app-1"])  # another one's application


@pytest.mark.parametrize("ends", [False, True])
def test_a_cluster_that_is_gone_ends_a_step_but_not_the_process(
    pages: Pages, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    asked = threading.Event()

    def gone(engine: EngineConfig) -> None:
        asked.set()
        time.sleep(0.5 if ends else 0.0)  # meanwhile the block ends by itself
        raise cluster.UnreachableError("gone", "Start it.")

    monkeypatch.setattr(cluster, "check_reachable", gone)
    monkeypatch.setattr(guard, "_POLL_SECONDS", 0.1)
    engine = pages.flink()
    object.__setattr__(engine, "timeout_seconds", 0)
    watched = guard._watched(engine, None)
    if ends:
        with watched:
            asked.wait(5)
        time.sleep(1)
    else:
        with pytest.raises(UserError, match="gone, for 0 s"), watched:
            time.sleep(9)
    assert signal.getsignal(signal.SIGUSR1) is before


def test_sparks_page_is_at_port_8080_of_its_first_master() -> None:
    engine = EngineConfig(
        runner="spark",
        master="spark://a:7077,b:7077",
        environment="loopback",
        shared_dir="/shared",
    )
    assert cluster.page(engine) == "http://a:8080"


def test_a_step_waits_for_a_slot_no_longer_than_configured(pages: Pages) -> None:
    pages.content["/overview"] = {**FLINK, "slots-available": 0}
    seen: list[str] = []
    with pytest.raises(UserError, match=r"0 of 2 slots free, and the step needs 1"):
        cluster.wait_for_slot(pages.flink(timeout_seconds=1), seen.append)
    assert seen == ["waiting: flink has 0 of 2 slots free"]

    def free(text: str) -> None:
        pages.content["/overview"] = FLINK

    cluster.wait_for_slot(pages.flink(timeout_seconds=9), free)


def test_a_cluster_that_is_gone(pages: Pages) -> None:
    pages.content.clear()
    with pytest.raises(cluster.UnreachableError, match="does not answer at .* Not F"):
        cluster.wait_for_slot(pages.flink(timeout_seconds=1))
    engine = EngineConfig(
        runner="portable", master="localhost:1", environment="loopback"
    )
    with pytest.raises(cluster.UnreachableError, match="job server at localhost:1"):
        cluster.check_reachable(engine)
