"""ReportGen: one HTML page about a run."""

from __future__ import annotations

from typing import Final

REPORT_FILE: Final = "report.html"
# Beside it, if `feedback.impressions` is set: how served recommendations did, as
# `components.feedback.measure` returns it, or `{"error": ...}`.
FEEDBACK_FILE: Final = "feedback.json"
# Custom property of the report (int): whether the model was blessed. The headline
# metrics are custom properties too, see `page.headline_values`.
BLESSED: Final = "blessed"
