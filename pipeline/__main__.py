"""`python -m pipeline` is `two-tower`."""

from __future__ import annotations

from pipeline.cli import main

if __name__ == "__main__":  # a subprocess of multiprocessing imports this too
    main(prog_name="two-tower")
