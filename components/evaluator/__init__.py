"""Evaluator: ranks the corpus for every eval query and decides the blessing."""

from __future__ import annotations

from typing import Final

# In the evaluation artifact, beside TFMA's files; see `retrieval_summary`.
SUMMARY_FILE: Final = "retrieval_summary.json"
