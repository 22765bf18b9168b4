"""The packaged alerts and dashboard, against the metrics and Prometheus' own tool."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.monitoring import files
from pipeline.monitoring.metrics import metric_names

HERE = Path(__file__).parent
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None,
    reason="promtool is not installed; Debian has it in the package prometheus",
)


def promtool(*arguments: str | Path, given: str = "") -> str:
    done = subprocess.run(
        ["promtool", *map(str, arguments)],
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(files.DASHBOARD.read_text("utf-8"))
    return content


def dashboard_queries() -> list[str]:
    """Every query, with values in place of Grafana's variables."""

    def found(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            yield from (v for k, v in value.items() if k == "expr")
            for inner in value.values():
                yield from found(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from found(inner)

    values = {"$pipeline": ".*", "$__range": "30d"}
    return [
        re.sub(r"\$\w+", lambda name: values[name[0]], query)
        for query in found(dashboard())
    ]


def rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load(files.ALERTS.read_text("utf-8"))["groups"]
    return list(group["rules"])


def test_alerts_and_dashboard_name_only_metrics_that_are_published() -> None:
    texts = [*dashboard_queries(), *(rule["expr"] for rule in rules())]
    variable = dashboard()["templating"]["list"][1]["definition"]
    named = set(re.findall(r"two_tower_\w+", " ".join([*texts, variable])))
    known = set(metric_names())
    assert named <= known
    # What nothing shows and nothing watches need not be published.
    assert known - named == {"two_tower_evaluation_timestamp_seconds"}


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "description"}


def test_alerts_and_dashboard_name_only_statuses_and_models_that_exist() -> None:
    from pipeline.retraining.outcome import Status

    text = files.ALERTS.read_text("utf-8") + files.DASHBOARD.read_text("utf-8")
    named = set("|".join(re.findall(r'status=~?"([^"]+)"', text)).split("|"))
    assert named <= {status.value for status in Status}
    shown = {
        override["matcher"]["options"]
        for panel in dashboard()["panels"]
        if panel["title"] == "Outcomes"
        for override in panel["fieldConfig"]["overrides"]
    }
    assert shown == {status.value for status in Status}
    assert set(re.findall(r'model="(\w+)"', text)) <= {
        "candidate",
        "live",
        "popularity",
    }


def test_panels_neither_overlap_nor_share_an_id() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        own = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not own & cells, panel["title"]
        assert max(x for x, _ in own) < 24
        cells |= own


@needs_promtool
def test_promtool_accepts_the_alerts() -> None:
    promtool("check", "rules", files.ALERTS)


@needs_promtool
def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", HERE / "alerts_test.yaml")


@needs_promtool
def test_promtool_parses_every_query_of_the_dashboard(tmp_path: Path) -> None:
    records = [
        {"record": f"query:{index}", "expr": query}
        for index, query in enumerate(dashboard_queries())
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": records}]}))
    assert f"{len(records)} rules found" in promtool("check", "rules", path)


@needs_promtool
def test_promtool_accepts_the_metrics(tmp_path: Path) -> None:
    from pipeline.monitoring.config import MonitoringConfig
    from pipeline.monitoring.publisher import exposition
    from pipeline.retraining.outcome import Outcome, Status

    outcome = Outcome(
        status=Status.PUSHED,
        pipeline="two-tower",
        workspace=str(tmp_path),
        started="2026-03-01T03:00:00+00:00",
        seconds=60.0,
        metrics={"candidate": {'odd "name"\n\\': 0.5}},
        steps=[{"id": "Trainer", "state": "done", "seconds": 20.0}],
        rows={"train": 900},
        drift={"ratings": 0.02},
        train_seconds=18.0,
        peak_rss_mb=2048.0,
    )
    text = exposition(outcome, MonitoringConfig())
    assert promtool("check", "metrics", given=text) == ""  # it finds nothing to say
