"""Compares the signatures of the served model with the documented ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def signature_faults(model: Any, documented: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields what differs from the documented names, dtypes and ranks.

    Args:
      model: The loaded SavedModel.
      documented: `trainer.serving_contract.SIGNATURES` as JSON.
    """
    for expected in documented:
        name = expected["name"]
        if name not in model.signatures:
            yield f"signature {name} is missing"
            continue
        signature = model.signatures[name]
        inputs = signature.structured_input_signature[1]
        yield from _differences(f"input of {name}", expected["inputs"], inputs)
        outputs = signature.structured_outputs
        yield from _differences(f"output of {name}", expected["outputs"], outputs)


def _differences(
    where: str, expected: dict[str, dict[str, Any]], actual: dict[str, Any]
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
