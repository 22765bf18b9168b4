# TFX reads the annotations of the function, so they must not be postponed.
"""ServabilityCheck: stands in for InfraValidator on every runner.

InfraValidator starts a model server in Docker or Kubernetes, and TFX's Kubeflow runner
refuses it. This component loads the model in a fresh process with TensorFlow alone.
"""

import dataclasses
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any, Final

import tensorflow as tf
from tfx.dsl.component.experimental.annotations import (
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import standard_artifacts
from tfx.utils import io_utils, path_utils

from components.parameters import from_parameter
from components.servability_check import BLESSED, HAS_MODEL, REASONS
from components.servability_check.check_process import check_in_process
from components.servability_check.config import ServingConfig
from components.servability_check.queries import Query, read_corpus, read_queries
from components.servability_check.warmup import write_warmup
from trainer import features
from trainer.movielens import GENRES
from trainer.serving_contract import (
    CATALOGUE,
    EVALUATE,
    MODEL_INFO_FILE,
    SIGNATURES,
    STORED_TIMELINES,
    STORED_USERS,
)

# Marker files of TFX's InfraValidator.
_MARKERS: Final = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}

REPORT_FILE: Final = "servability.json"
_NUM_QUERIES: Final = 32
_USUAL_K: Final = 10
_MEBIBYTE: Final = 1024 * 1024
# The functions of a SavedModel that no server offers.
_FUNCTIONS: Final = (EVALUATE, CATALOGUE, STORED_USERS, STORED_TIMELINES)
_LOG: Final = logging.getLogger(__name__)


@component
def ServabilityCheck(
    model: InputArtifact[standard_artifacts.Model],
    examples: InputArtifact[standard_artifacts.Examples],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    serving: Parameter[str],
) -> None:
    """Blesses a model that a server can load and that answers real requests.

    The run goes on if it does not.

    Args:
      model: The candidate.
      examples: The rows of the eval split make the requests.
      blessing: As InfraValidator writes it. If blessed it holds a copy of the model
        with warm-up requests, for Pusher. The custom property `reasons` is a JSON list
        of why the model is not servable.
      serving: JSON of `ServingConfig`.
    """
    config = from_parameter(ServingConfig, serving)
    model_path = path_utils.serving_model_path(model.uri)
    queries = read_queries(examples, max(_NUM_QUERIES, config.warmup_requests))
    corpus = read_corpus(examples)
    requests = requests_of(config, queries, corpus, _has_exact_index(model_path))
    max_k = requests["limits"]["max_k"]
    result = check_in_process(model_path, requests)
    result["size_mb"] = round(_size_mb(model_path), 3)
    if config.max_size_mb is not None and result["size_mb"] > config.max_size_mb:
        result["reasons"].append(
            f"the model's files have {result['size_mb']:.1f} MiB, more than "
            f"serving.max_size_mb={config.max_size_mb:g}"
        )
    _mark(blessing, result)
    if not result["reasons"]:
        copy = path_utils.stamped_model_path(blessing.uri)
        io_utils.copy_dir(model_path, copy)
        write_warmup(copy, queries, config.warmup_requests, min(_USUAL_K, max_k))
        blessing.set_int_custom_property(HAS_MODEL, 1)


def requests_of(
    config: ServingConfig,
    queries: Sequence[Query],
    corpus: Mapping[str, list[Any]],
    is_exact: bool = True,
) -> dict[str, Any]:
    """Returns the requests, see `serving_checks.requests.Requests`.

    Args:
      config: The limits.
      queries: From `read_queries`.
      corpus: From `read_corpus`.
      is_exact: Whether the model's index searches all movies.
    """
    limits = dataclasses.asdict(config.limits())
    limits["max_k"] = min(config.max_k, len(corpus[features.MOVIE_ID]))
    return {
        "types": {
            each.name: dataclasses.asdict(each) for each in (*SIGNATURES, *_FUNCTIONS)
        },
        "signatures": [each.name for each in SIGNATURES],
        "users": [dataclasses.asdict(query) for query in queries],
        "corpus": corpus,
        "genre_names": GENRES,
        "is_exact": is_exact,
        "limits": limits,
        "max_latency_ms": config.max_latency_ms,
    }


def _has_exact_index(model_path: str) -> bool:
    """Reads it from the model's description; a model without one counts as exact."""
    try:
        with tf.io.gfile.GFile(f"{model_path}/{MODEL_INFO_FILE}", "r") as file:
            return bool(json.load(file)["index"]["kind"] == "brute_force")
    except (tf.errors.OpError, ValueError, LookupError, TypeError):
        return True


def _size_mb(folder: str) -> float:
    """Returns the size of all files below a folder, which may be in an object store."""
    size = sum(
        tf.io.gfile.stat(f"{path}/{name}").length
        for path, _, names in tf.io.gfile.walk(folder)
        for name in names
    )
    return float(size / _MEBIBYTE)


def _mark(blessing: standard_artifacts.InfraBlessing, result: dict[str, Any]) -> None:
    """Writes the outcome as properties for other steps and as files for people."""
    reasons: list[str] = result["reasons"]
    for reason in reasons:
        _LOG.warning("Not servable: %s", reason)
    blessing.set_int_custom_property(BLESSED, int(not reasons))
    blessing.set_string_custom_property(REASONS, json.dumps(reasons))
    marker = os.path.join(blessing.uri, _MARKERS[not reasons])
    io_utils.write_string_file(marker, "")
    report = os.path.join(blessing.uri, REPORT_FILE)
    io_utils.write_string_file(report, json.dumps(result, indent=2))
