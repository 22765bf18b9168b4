"""The documented signatures of the served model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

# Name -> dtype and rank.
_Tensors = dict[str, tuple[str, int]]

_RECOMMENDED: Final[_Tensors] = {
    "movie_ids": ("string", 2),
    "titles": ("string", 2),
    "genres": ("string", 2),
    "scores": ("float32", 2),
}
# Signature -> inputs and outputs.
SIGNATURES: Final[dict[str, tuple[_Tensors, _Tensors]]] = {
    "serving_default": ({"user_id": ("string", 1), "k": ("int32", 0)}, _RECOMMENDED),
    "recommend_from_history": (
        {
            "user_id": ("string", 1),
            "movie_ids": ("string", 2),
            "ratings": ("float32", 2),
            "timestamps": ("int64", 2),
            "k": ("int32", 0),
        },
        _RECOMMENDED,
    ),
    "evaluate": (
        {"examples": ("string", 1)},
        {"rank": ("int32", 2), "top_ids": ("int32", 2)},
    ),
    "query_embedding": ({"user_id": ("string", 1)}, {"embedding": ("float32", 2)}),
    "candidate_embedding": ({"movie_id": ("string", 1)}, {"embedding": ("float32", 2)}),
}


def signature_faults(model: Any) -> Iterator[str]:
    """Yields what differs from the documented names, dtypes and ranks."""
    for name, (inputs, outputs) in SIGNATURES.items():
        if name not in model.signatures:
            yield f"signature {name} is missing"
            continue
        signature = model.signatures[name]
        actual_inputs = signature.structured_input_signature[1]
        yield from _differences(f"input of {name}", inputs, actual_inputs)
        actual_outputs = signature.structured_outputs
        yield from _differences(f"output of {name}", outputs, actual_outputs)


def _differences(
    where: str, expected: _Tensors, actual: dict[str, Any]
) -> Iterator[str]:
    for name, (dtype, rank) in expected.items():
        spec = actual.get(name)
        if spec is None:
            yield f"{where}: {name} is missing"
        elif spec.dtype.name != dtype or spec.shape.rank not in (rank, None):
            found = f"{spec.dtype.name} of rank {spec.shape.rank}"
            yield f"{where}: {name} is {found}, not {dtype} of rank {rank}"
        elif rank and spec.shape.rank and spec.shape[0] is not None:
            yield f"{where}: {name} takes batches of {spec.shape[0]} only"
