"""The packaged files for Prometheus and Grafana."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(str(resources.files("pipeline.monitoring")))
ALERTS: Final = _FOLDER / "alerts.yaml"
DASHBOARD: Final = _FOLDER / "dashboard.json"


def export(folder: Path) -> list[Path]:
    """Copies both files into a folder, in place of older ones.

    Returns:
      Where they are.

    Raises:
      OSError: They cannot be written.
    """
    from trainer.atomic_files import write_bytes

    folder.mkdir(parents=True, exist_ok=True)
    copies = {folder / f"two_tower_{path.name}": path for path in (ALERTS, DASHBOARD)}
    for target, path in copies.items():
        write_bytes(target, path.read_bytes())
    return list(copies)
