"""The artifact type of DataGate's output."""

from __future__ import annotations

from tfx import types


class DataReport(types.Artifact):
    """What DataGate found, in the file `data_report.json`.

    The file has `rows` (split -> number), `findings` (the fields of `Finding`), their
    number as `anomalies` and, where there was no finding before, `drift` and `skew`.
    """

    # Kubeflow's runner finds the class again by this name: see `components`.
    TYPE_NAME = "components.DataReport"
