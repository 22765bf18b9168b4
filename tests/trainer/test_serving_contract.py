"""The contract of the served model, against its documentation and its readers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from components.metrics.base import Query
from tests.fixtures.command import REPOSITORY
from trainer.serving_contract import (
    EVALUATE,
    RECOMMEND_FROM_HISTORY,
    SERVING_DEFAULT,
    SIGNATURES,
    TensorType,
)


def _described(tensors: Mapping[str, TensorType]) -> str:
    """Types as in docs/serving.md; a type that several names share is written once."""
    names: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        dims = f" [{', '.join(tensor.dims)}]" if tensor.dims else ""
        names.setdefault(f"{tensor.dtype}{dims}", []).append(f"`{name}`")
    return "; ".join(f"{', '.join(names)} {kind}" for kind, names in names.items())


def test_the_documented_table_is_the_contract() -> None:
    page = (REPOSITORY / "docs" / "serving.md").read_text()
    section = page.partition("## Signatures\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("| `")]
    expected = [
        f"| `{signature.name}` | {_described(signature.inputs)} "
        f"| {_described(signature.outputs)} |"
        for signature in SIGNATURES
    ]
    assert table == expected


def test_the_evaluator_reads_the_outputs_of_evaluate() -> None:
    assert set(Query._fields) == set(EVALUATE.outputs)


def test_importing_it_needs_no_tensorflow() -> None:
    program = "import sys, trainer.serving_contract; print('tensorflow' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "False\n"


def test_input_specs_leave_every_dimension_open() -> None:
    user_id, k = SERVING_DEFAULT.input_specs()
    assert user_id == tf.TensorSpec([None], tf.string, "user_id")
    assert k == tf.TensorSpec([None], tf.int32, "k")


def test_python_values_become_the_types_of_the_contract() -> None:
    tensors = RECOMMEND_FROM_HISTORY.tensors(
        user_id=[""], movie_ids=[[]], ratings=[[4]], timestamps=[[5]], k=[10]
    )
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    types = {name: (array.dtype, array.shape) for name, array in arrays.items()}
    assert types == {
        "user_id": (np.dtype(object), (1,)),
        "movie_ids": (np.dtype(object), (1, 0)),
        "ratings": (np.dtype(np.float32), (1, 1)),
        "timestamps": (np.dtype(np.int64), (1, 1)),
        # What was left out.
        "age": (np.dtype(np.int64), (1,)),
        "gender": (np.dtype(object), (1,)),
        "occupation": (np.dtype(object), (1,)),
        "exclude_movie_ids": (np.dtype(object), (1, 0)),
        "genres": (np.dtype(object), (1, 0)),
        "first_year": (np.dtype(np.int32), (1,)),
        "last_year": (np.dtype(np.int32), (1,)),
        "diversity": (np.dtype(np.float32), (1,)),
        "k": (np.dtype(np.int32), (1,)),
    }
    assert arrays["age"] == [-1]
