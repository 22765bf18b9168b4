"""Calls the functions of a loaded model on rows of plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import tensorflow as tf
from numpy.typing import NDArray

Answer = dict[str, NDArray[Any]]
# Values of one row by input: a number, a text, or a list of a length of its own. What
# is left out is absent from the request.
Row = Mapping[str, Any]

EVENTS: Final = ("movie_ids", "ratings", "timestamps")
ATTRIBUTES: Final = ("age", "gender", "occupation")


@dataclasses.dataclass(frozen=True)
class Client:
    """A caller of one model.

    Attributes:
      model: From `tf.saved_model.load`.
      types: Name of a signature or function -> its `inputs` and `outputs` as
        documented, each name -> `dtype`, `dims` and `absent`.
    """

    model: Any
    types: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]

    def call(self, function_name: str, **inputs: Any) -> Answer:
        """Calls a signature or another function of the SavedModel."""
        types = self.types[function_name]["inputs"]
        tensors = {
            name: tf.constant(value, types[name]["dtype"])
            for name, value in inputs.items()
        }
        if function_name in self.model.signatures:
            function = self.model.signatures[function_name]
        else:
            (function,) = getattr(self.model, function_name).concrete_functions
        return {name: found.numpy() for name, found in function(**tensors).items()}

    def ask(
        self, signature: str, rows: Sequence[Row], by_server: bool = False
    ) -> Answer:
        """Calls a signature on rows whose lists differ in length.

        Args:
          signature: Its name.
          rows: The rows of the batch.
          by_server: Whether lists are padded as TensorFlow Serving pads those of
            several requests, with the first value of each, and not by the caller.
        """
        return self.call(signature, **self.batch(signature, rows, by_server))

    def batch(
        self, signature: str, rows: Sequence[Row], by_server: bool = False
    ) -> dict[str, Any]:
        """Returns the inputs of a request for some rows, see `ask`."""
        if signature == "recommend_examples":
            return {"examples": [self.example(row) for row in rows]}
        inputs = {}
        for name, tensor in self.types[signature]["inputs"].items():
            inputs[name] = [row.get(name, _absent(tensor)) for row in rows]
            if len(tensor["dims"]) > 1:
                inputs[name] = _padded(inputs[name], tensor["absent"], by_server)
        return inputs

    def example(self, row: Row) -> bytes:
        """Returns a row of `recommend` as a serialized `tf.train.Example`."""
        example = tf.train.Example()
        for name, value in row.items():
            values = value if isinstance(value, list) else [value]
            feature = example.features.feature[name]
            dtype = self.types["recommend"]["inputs"][name]["dtype"]
            if dtype == "string":
                feature.bytes_list.value.extend(
                    text if isinstance(text, bytes) else text.encode()
                    for text in values
                )
            elif dtype == "float32":
                feature.float_list.value.extend(values)
            else:
                feature.int64_list.value.extend(map(int, values))
        return bytes(example.SerializeToString())


def _absent(tensor: Mapping[str, Any]) -> Any:
    return [] if len(tensor["dims"]) > 1 else tensor["absent"]


def _padded(rows: list[list[Any]], absent: Any, by_server: bool) -> list[list[Any]]:
    if by_server:  # which refuses to pad an empty list
        rows = [row or [absent] for row in rows]
    longest = max(map(len, rows))
    return [
        row + [row[0] if by_server else absent] * (longest - len(row)) for row in rows
    ]


def history_of(user: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """Returns the newest events of a user's timeline as inputs of a request."""
    return {name: user[name][-limit:] for name in EVENTS}


def attributes_of(user: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is known of a user as inputs of a request."""
    return {name: user[name] for name in ATTRIBUTES if user[name] is not None}


def one_line(error: Exception) -> str:
    """Returns type and cause; TensorFlow wraps the cause in a trace of the graph."""
    noise = (" ", "\t", "Graph execution error", "Detected at node", "<stack")
    lines = [line for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(noise)] or lines or [""]
    return f"{type(error).__name__}: {causes[-1][:300]}"
