"""What a step gets of the configuration where it is not one section."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from pipeline.config import PipelineConfig


def reported_config(config: PipelineConfig) -> str:
    """All that decides what is computed, and not what a cluster gives for it."""
    content = dataclasses.asdict(config)
    del content["kubeflow"]
    if not config.tune.enabled:
        del content["tune"]
    return json.dumps(content, sort_keys=True)


def trainer_config(config: PipelineConfig, code_hash: str) -> dict[str, Any]:
    """What the trainer reads, and no more: a changed threshold must not retrain."""
    return {
        "model": dataclasses.asdict(config.model),
        "train": dataclasses.asdict(config.train),
        "data": {
            "dataset": config.data.dataset,
            "window_length": config.data.window_length,
        },
        "eval": {
            "top_k": list(config.eval.top_k),
            "exclude_seen": config.eval.exclude_seen,
        },
        "code_hash": code_hash,
    }
