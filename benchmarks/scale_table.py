"""Writes the tables of `docs/scale.md` from `results/scale.json`.

    PYTHONPATH=. python benchmarks/scale_table.py

A test compares the page with the results, so run it after `benchmarks/scale.py`. The
last columns are no measurement: they continue the line through the two largest sizes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results" / "scale.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "scale.md"
BEGIN: Final = "<!-- written by benchmarks/scale_table.py -->\n"
END: Final = "<!-- end -->\n"
# Ratings to which the lines are continued.
FAR: Final = 1_000_000_000
# Faster steps are one row.
_SMALL_SECONDS: Final = 2.0

Row = Mapping[str, Any]


def main() -> None:
    """Rewrites the part of the page between the two marks."""
    PAGE.write_text(filled(PAGE.read_text(), read()))


def read() -> dict[str, Any]:
    """The results: name -> row; empty before the first measurement."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def filled(page: str, results: Mapping[str, Row]) -> str:
    """The page with the tables of the results."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + tables(results) + END + after


def tables(results: Mapping[str, Row]) -> str:
    """The tables as Markdown; other runs of a size (`25m NAME`) are left out."""
    rows = sorted(
        (row for name, row in results.items() if " " not in name),
        key=lambda row: int(row["ratings"]),
    )
    if not rows:
        return "\nNothing was measured yet: `benchmarks/scale.py`.\n\n"
    return f"\n{_steps(rows)}\n{_facts(rows)}\n"


def _steps(rows: Sequence[Row]) -> str:
    names = [name for name in rows[-1]["steps"] if _is_large(rows, name)]

    def rest(row: Row) -> float:
        seconds = (v["seconds"] for k, v in row["steps"].items() if k not in names)
        return float(sum(seconds))

    lines = [_line(name, rows, _of_step(name, "seconds")) for name in names]
    lines.append(_line("other steps", rows, rest))
    lines.append(_line("**all**", rows, lambda row: row["seconds"]))
    return "Seconds:\n\n" + _head("step", rows) + "".join(lines)


def _is_large(rows: Sequence[Row], name: str) -> bool:
    seconds = [row["steps"].get(name, {}).get("seconds", 0.0) for row in rows]
    return all(name in row["steps"] for row in rows) and max(seconds) >= _SMALL_SECONDS


def _of_step(name: str, key: str) -> Callable[[Row], float]:
    return lambda row: float(row["steps"][name].get(key, 0.0))


def _facts(rows: Sequence[Row]) -> str:
    facts: dict[str, Callable[[Row], float]] = {
        f"{name}, MiB at its peak": _of_step(name, "peak_rss_mb")
        for name in rows[-1]["steps"]
        if _is_large(rows, name)
    }
    facts["served model, MiB of files"] = lambda row: row["model"]["mib"]
    facts["served model, MiB in memory"] = lambda row: row["model"]["memory_mib"]
    facts["served model, seconds to load"] = lambda row: row["model"]["load_s"]
    lines = [_line(name, rows, value) for name, value in facts.items()]
    quality = [
        f"{row['metrics']['candidate']['ndcg@10']:.3f} / "
        f"{row['metrics']['popularity']['ndcg@10']:.3f}"
        for row in rows
    ]
    lines.append(_cells(["NDCG@10 after one epoch / of popularity", *quality, ""]))
    rate = [f"{row['training']['targets_per_second']:,.0f}" for row in rows]
    lines.append(_cells(["training targets a second", *rate, ""]))
    return "Memory and the model:\n\n" + _head("", rows) + "".join(lines)


def _head(first: str, rows: Sequence[Row]) -> str:
    sizes = [f"{row['ratings'] / 1e6:,.0f} million" for row in rows]
    head = [first, *sizes, f"*{FAR / 1e6:,.0f} million, extrapolated*"]
    return _cells(head) + _cells(["---", *["---:"] * (len(head) - 1)])


def _line(name: str, rows: Sequence[Row], value: Callable[[Row], float]) -> str:
    values = [value(row) for row in rows]
    far = f"*{extrapolated(rows, value):,.0f}*" if rows[1:] else ""
    return _cells([name, *(f"{number:,.0f}" for number in values), far])


def extrapolated(rows: Sequence[Row], value: Callable[[Row], float]) -> float:
    """Continues the line through the two largest sizes; never below the largest."""
    (x0, y0), (x1, y1) = ((row["ratings"], value(row)) for row in rows[-2:])
    slope = max(0.0, (y1 - y0) / (x1 - x0))
    return float(y1 + slope * (FAR - x1))


def _cells(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    main()
