"""An outcome, and no waits between attempts."""

from __future__ import annotations

import pytest

from pipeline.notifications import delivery
from pipeline.retraining.outcome import Outcome, Status


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_FIRST_WAIT", 0.01)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def outcome() -> Outcome:
    """A model that was pushed."""
    return Outcome(
        status=Status.PUSHED,
        pipeline="two-tower",
        workspace="",
        started="2026-03-01T03:00:00+00:00",
        seconds=92.4,
        span="2026-03-01",
        run_id="20260301T030000.000000Z",
        trigger="schedule",
        reasons=("ndcg@10 0.1213 is 2.9x popularity",),
        live_version="1772323200",
        previous_version="1772236800",
        metrics={
            "candidate": {"recall@10": 0.2206, "ndcg@10": 0.1213, "mrr": float("nan")},
            "baseline": {"recall@10": 0.2174, "ndcg@10": 0.1188},
            "popularity": {"recall@10": 0.0860},
        },
        report="/ws/report.html",
    )
