"""TensorFlow Serving's JSON: requests to arrays, and arrays to answers.

https://www.tensorflow.org/tfx/serving/api_rest#predict_api. Like there, all rows of an
input have one shape, a number is never read as a text, and no precision is lost.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import orjson

from pipeline.serving.server.errors import invalid
from pipeline.serving.server.loaded import (
    Array,
    SignatureSpec,
    TensorSpec,
    check_names,
)

DEFAULT_SIGNATURE: Final = "serving_default"
_SHOWN: Final = 100  # characters of a bad value in a message
_BYTES_SUFFIX: Final = "_bytes"  # of outputs that are answered as base64
_ONE_TYPE: Final[Mapping[str, type]] = {"b": bool, "i": int, "u": int}
T = TypeVar("T")


@dataclass(frozen=True)
class JsonRequest:
    """A request to predict, as JSON.

    Attributes:
      signature_name: Name of the signature.
      by_row: Whether it has `instances`, an object a row, or `inputs`, an array an
        input.
      content: The value of the one or the other.
    """

    signature_name: str
    by_row: bool
    content: Any

    @classmethod
    def parse(cls, body: bytes) -> JsonRequest:
        """Parses the body of a request.

        Raises:
          RequestError: It is no JSON, or not of this form.
        """
        try:
            content = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise invalid(f"JSON Parse error: {error}") from error
        if not isinstance(content, dict):
            raise invalid(
                f"Request body must be a JSON object, but is {_show(content)}"
            )
        name = content.get("signature_name", DEFAULT_SIGNATURE)
        if not isinstance(name, str):
            raise invalid(
                f"JSON Value: {_show(name)} not formatted correctly. "
                "'signature_name' key must be a string value."
            )
        if ("instances" in content) == ("inputs" in content):
            raise invalid("Give either 'instances' or 'inputs', and not both.")
        by_row = "instances" in content
        value = content["instances" if by_row else "inputs"]
        return cls(name or DEFAULT_SIGNATURE, by_row, value)

    def arrays(self, spec: SignatureSpec) -> dict[str, Array]:
        """Returns the inputs of a signature.

        Raises:
          RequestError: There are others, or of other types or shapes.
        """
        columns = self._rows(spec) if self.by_row else self._columns(spec)
        check_names(spec, columns)
        return {
            name: _array(name, columns[name], tensor)
            for name, tensor in spec.inputs.items()
        }

    def _columns(self, spec: SignatureSpec) -> Mapping[str, Any]:
        if isinstance(self.content, dict) and not _is_base64(self.content):
            return self.content
        return {_only_input(spec, "inputs"): self.content}

    def _rows(self, spec: SignatureSpec) -> Mapping[str, Any]:
        rows = self.content
        if not isinstance(rows, list) or not rows:
            raise invalid("'instances' must be a list of at least one row.")
        if not isinstance(rows[0], dict) or _is_base64(rows[0]):
            return {_only_input(spec, "instances"): rows}
        names = rows[0].keys()
        for number, row in enumerate(rows):
            if not isinstance(row, dict) or row.keys() != names:
                raise invalid(
                    f"Failed to process element: {number} of 'instances' list: it has "
                    f"not the inputs of the first one, {', '.join(sorted(names))}."
                )
        return {name: [row[name] for row in rows] for name in names}


def answer(outputs: Mapping[str, Array], by_row: bool) -> dict[str, Any]:
    """Returns what `to_json` makes the body of an answer.

    Args:
      outputs: Array by name of the output.
      by_row: Whether to answer with an object a row, or an array an output.
    """
    values = {name: _plain(name, array) for name, array in outputs.items()}
    if not by_row:
        return {"outputs": _alone(values) if len(values) == 1 else values}
    if len(values) == 1:
        return {"predictions": _alone(values)}
    names = tuple(values)
    rows = zip(*values.values(), strict=True)
    return {"predictions": [dict(zip(names, row, strict=True)) for row in rows]}


def to_json(content: Any) -> bytes:
    """Returns JSON; arrays of numbers are written with the digits of their type."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _alone(values: Mapping[str, T]) -> T:
    (value,) = values.values()
    return value


def _plain(name: str, array: Array) -> Any:
    """What of an array orjson can write: its rows, or lists of texts."""
    if array.dtype != object:
        # Rows of a slice of a batch may not be contiguous, as orjson wants them.
        return list(np.ascontiguousarray(array)) if array.ndim > 1 else array.tolist()
    to_text = _base64 if name.endswith(_BYTES_SUFFIX) else _text
    return _mapped(array.tolist(), to_text)


def _mapped(values: Any, function: Callable[[bytes], Any]) -> Any:
    if isinstance(values, list):
        return [_mapped(value, function) for value in values]
    return function(values)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _only_input(spec: SignatureSpec, key: str) -> str:
    if len(spec.inputs) != 1:
        raise invalid(
            f"'{key}' has values without names, but the signature has "
            f"{len(spec.inputs)} inputs: {', '.join(sorted(spec.inputs))}."
        )
    return next(iter(spec.inputs))


def _array(name: str, value: Any, tensor: TensorSpec) -> Array:
    """Returns an input as an array of its type."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    if len(shape) != len(tensor.shape):
        raise invalid(
            f'Input "{name}" has {len(shape)} dimensions, but must have '
            f"{len(tensor.shape)}."
        )
    leaves = [value]
    for level, size in enumerate(shape):
        for leaf in leaves:
            if not isinstance(leaf, list) or len(leaf) != size:
                found = f"a list of {len(leaf)}" if isinstance(leaf, list) else "none"
                raise invalid(
                    f'Input "{name}": encountered {found} at level: {level} expected '
                    f"size: {size}. All rows of an input have one shape; fill "
                    'shorter ones with "" or 0.'
                )
        leaves = [item for leaf in leaves for item in leaf]
    return _converted(name, leaves, tensor.dtype).reshape(shape)


def _converted(name: str, values: list[Any], dtype: str) -> Array:
    """Returns a flat array of plain values."""
    types = set(map(type, values))
    if dtype == "string":
        if types <= {str}:
            texts = [value.encode() for value in values]
        else:
            texts = [_bytes(name, value) for value in values]
        array = np.empty(len(texts), object)
        array[:] = texts
        return array
    numbers = np.dtype(dtype)
    accepted: set[type] = {int, float}
    if numbers.kind in _ONE_TYPE:
        accepted = {_ONE_TYPE[numbers.kind]}
    if not types <= accepted:
        bad = next(value for value in values if type(value) not in accepted)
        raise _type_error(name, bad, dtype)
    if numbers.kind in "iu" and values:
        limits = np.iinfo(numbers)
        for bad in (min(values), max(values)):
            if not limits.min <= bad <= limits.max:
                raise _type_error(name, bad, dtype)
    with np.errstate(over="ignore"):
        array = np.array(values, numbers)
    if numbers.kind == "f" and not np.isfinite(array).all():
        bad = values[int(np.argmin(np.isfinite(array)))]
        raise invalid(
            f'Input "{name}": cannot convert JSON value: {_show(bad)} to {dtype} '
            "without loss of precision."
        )
    return array


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if _is_base64(value):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise invalid(f'Input "{name}": unable to base64 decode.') from error
    raise _type_error(name, value, "string")


def _is_base64(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"b64"}
        and isinstance(value["b64"], str)
    )


def _type_error(name: str, value: Any, dtype: str) -> Exception:
    return invalid(
        f'Input "{name}": JSON Value: {_show(value)} is not of expected type: {dtype}'
    )


def _show(value: Any) -> str:
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # nested too deeply, also for `str`
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
