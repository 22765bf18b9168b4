"""`python -m pipeline` is `two-tower`."""

from __future__ import annotations

from pipeline.cli import main

main(prog_name="two-tower")
