"""Checks names, dtypes and ranks of the model's functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .requests import Requests


def check_signatures(model: Any, requests: Requests) -> Iterator[str]:
    """Compares all signatures and functions with what is documented.

    Args:
      model: From `tf.saved_model.load`.
      requests: Has the documented types.
    """
    for name in sorted({*model.signatures} - {*requests.signatures}):
        yield f"signature {name} is not one that callers of a server may use"
    for name, types in requests.types.items():
        if name not in requests.signatures:
            if not getattr(getattr(model, name, None), "concrete_functions", ()):
                yield f"function {name} is missing"
            continue
        if name not in model.signatures:
            yield f"signature {name} is missing"
            continue
        signature = model.signatures[name]
        inputs = signature.structured_input_signature[1]
        yield from _differences(f"input of {name}", types["inputs"], inputs)
        outputs = signature.structured_outputs
        yield from _differences(f"output of {name}", types["outputs"], outputs)


def _differences(
    where: str, expected: Mapping[str, Mapping[str, Any]], actual: Mapping[str, Any]
) -> Iterator[str]:
    for name, tensor in expected.items():
        dtype, rank = tensor["dtype"], len(tensor["dims"])
        spec = actual.get(name)
        if spec is None:
            yield f"{where}: {name} is missing"
        elif spec.dtype.name != dtype or spec.shape.rank not in (rank, None):
            found = f"{spec.dtype.name} of rank {spec.shape.rank}"
            yield f"{where}: {name} is {found}, not {dtype} of rank {rank}"
        elif rank and spec.shape.rank and spec.shape[0] is not None:
            yield f"{where}: {name} takes batches of {spec.shape[0]} only"
    for name in sorted(set(actual) - set(expected)):
        yield f"{where}: {name} is not documented"
