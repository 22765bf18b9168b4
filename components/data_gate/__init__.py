"""DataGate: stops the run when the data is not fit for training."""

from __future__ import annotations

from typing import Final

DATA_REPORT_FILE: Final = "data_report.json"
# Custom property of the report (int): number of findings.
NUM_FINDINGS: Final = "anomalies"
# How the message of a refusal begins.
UNFIT: Final = "The data is not fit for training"
