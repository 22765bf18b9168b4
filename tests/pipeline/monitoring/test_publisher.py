"""Metrics for Prometheus: what is written, what stays true, and what may go wrong."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.config.loading import load
from pipeline.monitoring.config import MonitoringConfig, PushGatewayConfig
from pipeline.monitoring.publisher import exposition, publish
from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.outcome_log import append_outcome
from tests.fixtures.served_versions import graph
from trainer.errors import UsageError

ODD = 'a "quoted"\nmetric\\'


def outcome(workspace: Path, day: int = 1, **changes: Any) -> Outcome:
    content: dict[str, Any] = {
        "status": Status.PUSHED,
        "pipeline": "two-tower",
        "workspace": str(workspace),
        "started": f"2026-03-{day:02}T03:00:00+00:00",
        "seconds": 60.0,
        "run_id": f"2026030{day}T030000.000000Z",
        "live_version": "1772334060",
        "warm_start": "1771729260",
        "metrics": {
            "candidate": {"ndcg@10": 0.14, ODD: 0.5},
            "baseline": {"ndcg@10": 0.13, "mrr": None},
            "popularity": {"ndcg@10": 0.04},
        },
        "steps": [
            {"id": "Transform", "state": "done", "seconds": 16.5},
            {"id": "Trainer", "state": "done", "seconds": 20.0},
        ],
        "rows": {"read": 1000, "train": 900, "eval": 90, "duplicate": 10},
        "drift": {"ratings": 0.02},
        "train_seconds": 18.0,
        "peak_rss_mb": 2048.0,
    }
    return Outcome(**{**content, **changes})


def failed(workspace: Path, day: int) -> Outcome:
    return Outcome(
        status=Status.FAILED,
        pipeline="two-tower",
        workspace=str(workspace),
        started=f"2026-03-{day:02}T03:00:00+00:00",
        seconds=5.0,
        failed_step="Transform",
        steps=[
            {"id": "Transform", "state": "failed", "seconds": 1.0},
            {"id": "Trainer", "state": "waiting", "seconds": 0.0},
        ],
    )


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Name and values of the labels, without `pipeline` and by their names -> value."""
    return {
        (
            s.name.removeprefix("two_tower_"),
            *(v for k, v in s.labels.items() if k != "pipeline"),
        ): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def make_version(workspace: Path, name: str) -> None:
    folder = workspace / "serving" / name
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(graph("model"))


def test_a_retraining_is_written_for_node_exporter(tmp_path: Path) -> None:
    folder = tmp_path / "textfiles"
    folder.mkdir()
    make_version(tmp_path, "1772334060")
    old = os.umask(0o077)
    try:
        assert (
            publish(outcome(tmp_path), MonitoringConfig(textfile_dir=str(folder))) == []
        )
    finally:
        os.umask(old)
    [path] = folder.iterdir()
    assert path.name == "two_tower_two-tower.prom"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    text = path.read_text("utf-8")
    found = samples(text)
    ended = 1772334060.0
    assert found["retraining_status", "pushed"] == 1
    assert found["retraining_status", "failed"] == 0
    assert sum(v for k, v in found.items() if k[0] == "retraining_status") == 1
    assert found["retraining_timestamp_seconds",] == ended
    assert found["retraining_success_timestamp_seconds",] == ended
    assert found["live_model_present",] == 1
    assert found["live_model_info", "1772334060"] == 1
    assert found["live_model_pushed_timestamp_seconds",] == 1772334060
    assert found["step_duration_seconds", "Trainer"] == 20
    assert found["training_duration_seconds",] == 18
    assert found["training_warm_start",] == 1
    assert found["retraining_peak_memory_bytes",] == 2 << 30
    assert found["rating_rows", "duplicate"] == 10
    assert ("rating_rows", "read") not in found  # the sum of all others
    assert found["drift_divergence", "ratings"] == 0.02
    assert found["model_quality", ODD, "candidate"] == 0.5
    assert found["model_quality", "ndcg@10", "live"] == 0.13
    assert ("model_quality", "mrr", "live") not in found
    assert found["retrainings_total", "pushed"] == 1
    # The collector refuses a file in which a sample has a time.
    assert not re.search(r"^[^#].*} \S+ \S+$", text, re.MULTILINE)


def test_a_failed_retraining_keeps_what_is_still_true(tmp_path: Path) -> None:
    make_version(tmp_path, "1772334060")
    append_outcome(tmp_path, outcome(tmp_path))
    append_outcome(tmp_path, failed(tmp_path, 8))
    found = samples(exposition(failed(tmp_path, 8), MonitoringConfig()))
    assert found["retraining_status", "failed"] == 1
    assert found["retraining_status", "pushed"] == 0
    assert found["retraining_timestamp_seconds",] == 1772334060 + 7 * 86400 - 55
    assert found["retraining_success_timestamp_seconds",] == 1772334060
    assert found["evaluation_timestamp_seconds",] == 1772334060
    assert found["model_quality", "ndcg@10", "candidate"] == 0.14
    assert found["live_model_pushed_timestamp_seconds",] == 1772334060
    # Of a step that failed, the time of its last success: 1 s would be no news.
    assert found["step_duration_seconds", "Transform"] == 16.5
    assert found["retrainings_total", "failed"] == 1
    assert found["retrainings_total", "pushed"] == 1


def test_nothing_to_do_is_a_success_and_changes_only_its_time(tmp_path: Path) -> None:
    append_outcome(tmp_path, outcome(tmp_path))
    idle = Outcome(
        status=Status.NOTHING_TO_DO,
        pipeline="two-tower",
        workspace=str(tmp_path),
        started="2026-03-02T03:00:00+00:00",
        seconds=2.0,
    )
    before = samples(exposition(outcome(tmp_path), MonitoringConfig()))
    after = samples(exposition(idle, MonitoringConfig()))
    changed = {key[0] for key in after if after[key] != before.get(key)}
    assert changed == {
        "retraining_status",
        "retraining_timestamp_seconds",
        "retraining_success_timestamp_seconds",
        "retraining_duration_seconds",
        "retrainings_total",
    }
    assert after.keys() == before.keys()


def test_the_live_model_is_read_and_not_remembered(tmp_path: Path) -> None:
    make_version(tmp_path, "1772334060")
    make_version(tmp_path, "1772938860")
    shutil.rmtree(tmp_path / "serving" / "1772938860")
    found = samples(
        exposition(outcome(tmp_path, live_version="1772938860"), MonitoringConfig())
    )
    assert found["live_model_info", "1772334060"] == 1
    shutil.rmtree(tmp_path / "serving")
    found = samples(exposition(outcome(tmp_path), MonitoringConfig()))
    assert found["live_model_present",] == 0
    assert not [key for key in found if key[0] == "live_model_info"]


def test_a_damaged_record_leaves_out_only_what_it_damaged(tmp_path: Path) -> None:
    append_outcome(tmp_path, outcome(tmp_path))
    with open(tmp_path / "retrainings.jsonl", "a", encoding="utf-8") as file:
        file.write('{"status": "pushed", "pipeline": "two-tower", "workspace": "", ')
        file.write('"started": "yesterday", "seconds": "long", "rows": [1], ')
        file.write('"drift": {"ratings": "much"}, "steps": "none", "metrics": 3}\nno\n')
    found = samples(exposition(failed(tmp_path, 8), MonitoringConfig()))
    assert found["model_quality", "ndcg@10", "candidate"] == 0.14
    assert found["rating_rows", "train"] == 900
    assert found["drift_divergence", "ratings"] == 0.02
    assert found["step_duration_seconds", "Trainer"] == 20


@pytest.fixture
def gateway() -> Iterator[ThreadingHTTPServer]:
    """An endpoint that keeps what it is sent, and answers as `answer` says."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            server.received.append((self.path, dict(self.headers), body))
            time.sleep(server.delay)
            self.send_response(server.answer)
            with contextlib.suppress(BrokenPipeError):  # nobody waits any more
                self.end_headers()
                self.wfile.write(b"inconsistent\nlabels")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.received, server.answer, server.delay = [], 200, 0
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def pushing(server: Any, **changes: Any) -> MonitoringConfig:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    return MonitoringConfig(push_gateway=PushGatewayConfig(url=url, **changes))


def test_a_push_replaces_the_group_of_the_pipeline(
    tmp_path: Path, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_USER", "retrainer")
    monkeypatch.setenv("GATEWAY_PASSWORD", "pass:word")
    config = pushing(
        gateway,
        labels={"team": "a/b"},
        user_env="GATEWAY_USER",
        password_env="GATEWAY_PASSWORD",
    )
    assert publish(outcome(tmp_path), config) == []
    [(path, headers, body)] = gateway.received
    team = base64.urlsafe_b64encode(b"a/b").decode()
    assert path == f"/metrics/job/two_tower/pipeline/two-tower/team@base64/{team}"
    basic = base64.b64encode(b"retrainer:pass:word").decode()
    assert headers["Authorization"] == f"Basic {basic}"
    assert samples(body.decode())["retraining_status", "pushed"] == 1


def test_what_goes_wrong_is_one_line_and_no_exception(
    tmp_path: Path, gateway: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_TOKEN", "top-secret")
    gateway.answer = 400
    [fault] = publish(outcome(tmp_path), pushing(gateway, token_env="GATEWAY_TOKEN"))
    assert "it answered 400 Bad Request: inconsistent labels" in fault
    assert gateway.received[0][1]["Authorization"] == "Bearer top-secret"
    [fault] = publish(outcome(tmp_path), pushing(gateway, token_env="NO_SUCH_TOKEN"))
    assert "NO_SUCH_TOKEN is not set" in fault
    gateway.delay = 1
    [fault] = publish(outcome(tmp_path), pushing(gateway, timeout_seconds=0.2))
    assert re.search("not done after 0.2 seconds|timed out", fault)
    [fault] = publish(outcome(tmp_path), MonitoringConfig(textfile_dir="/no/such"))
    assert "/no/such/two_tower_two-tower.prom" in fault
    assert "No such file" in fault
    (tmp_path / "retrainings.jsonl").mkdir()
    folder = str(tmp_path / "textfiles")
    Path(folder).mkdir()
    [fault] = publish(outcome(tmp_path), MonitoringConfig(textfile_dir=folder))
    assert "earlier retrainings cannot be read" in fault
    [path] = Path(folder).iterdir()  # what is known is written all the same
    assert samples(path.read_text("utf-8"))["retraining_status", "pushed"] == 1


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("push_gateway.url=host:9091", "must begin with http"),
        ("push_gateway.url=http://u:p@host", "credentials"),
        ("push_gateway.labels.__x='1'", "letters, digits"),
        ("push_gateway.labels.pipeline='1'", "is not job or pipeline"),
        ("push_gateway.password_env=A", "both user_env and password_env"),
        ("max_quality_loss=2", "max_quality_loss"),
    ],
)
def test_impossible_settings_are_refused(assignment: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(assignments=[f"monitoring.{assignment}"])


@pytest.mark.parametrize("key", ["password", "password_env", "url"])
def test_a_secret_in_the_configuration_is_refused_and_not_shown(key: str) -> None:
    value = "http://me:hunter2@host" if key == "url" else "hunter2"
    with pytest.raises(UsageError) as refused:
        load(assignments=[f"monitoring.push_gateway.{key}={value}"])
    assert "hunter2" not in str(refused.value)
