"""One version of the model, loaded."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from pipeline.serving.client import ModelInfo
from pipeline.serving.server.errors import RequestError, Status, invalid
from pipeline.serving.tensorflow_alone import import_tensorflow, reason

_LOG: Final = logging.getLogger(__name__)
_WARMUP_FILE: Final = "assets.extra/tf_serving_warmup_requests"
_INIT_OP: Final = "__saved_model_init_op"


Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """Type of an input or output.

    Attributes:
      dtype: TensorFlow's name of it.
      shape: Sizes; None where any size is allowed.
    """

    dtype: str
    shape: tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class SignatureSpec:
    """Inputs and outputs of a signature, by name."""

    inputs: Mapping[str, TensorSpec]
    outputs: Mapping[str, TensorSpec]


class LoadedVersion:
    """A version of the model that answers requests.

    It lives as long as somebody has a reference to it: a request that has begun ends
    on the version that it began on.

    Args:
      folder: Folder of the SavedModel.
      version: Its number.

    Attributes:
      version: Its number.
      folder: Folder of the SavedModel.
      labels: The labels that it has now, such as `stable`.
      info: Description of the model.
      model: What `tf.saved_model.load` returned.
      signatures: Type of each signature, by name.

    Raises:
      UserError: The folder has no readable description.
      Exception: TensorFlow cannot load it, or it does not answer its warm-up requests.
    """

    def __init__(self, folder: Path, version: int) -> None:
        """Loads the model and replays its warm-up requests, which takes seconds."""
        tf = import_tensorflow()
        self.version = version
        self.folder = folder
        self.labels: tuple[str, ...] = ()
        self.info = ModelInfo.read(folder)
        self.model = tf.saved_model.load(str(folder))
        self._signature_defs = _signature_defs(folder)
        self._functions = dict(self.model.signatures)
        self.signatures = {
            name: _spec(function) for name, function in self._functions.items()
        }
        self.replay_warmup()

    def signature(self, name: str) -> SignatureSpec:
        """Returns the type of a signature.

        Raises:
          RequestError: There is none of this name.
        """
        try:
            return self.signatures[name]
        except KeyError:
            message = f'Serving signature name: "{name}" not found in signature def'
            raise invalid(message) from None

    def call(self, signature_name: str, inputs: Arrays) -> dict[str, Array]:
        """Calls a signature, in the calling thread.

        Args:
          signature_name: Its name.
          inputs: An array for each input; strings as an array of objects, each `bytes`,
            or of NumPy's type of texts.

        Returns:
          An array for each output; strings as an array of objects, each `bytes`.

        Raises:
          RequestError: The inputs are not those of the signature, or it refuses them.
        """
        tf = import_tensorflow()
        spec = self.signature(signature_name)
        check_names(spec, inputs)
        function = self._functions[signature_name]
        try:
            tensors = {
                name: tf.constant(array, spec.inputs[name].dtype)
                for name, array in inputs.items()
            }
            outputs = function(**tensors)
            return {name: tensor.numpy() for name, tensor in outputs.items()}
        except tf.errors.OpError as error:
            raise RequestError(Status(error.error_code), reason(error)) from error
        except (TypeError, ValueError) as error:
            raise invalid(reason(error)) from error

    def signature_defs(self) -> dict[str, Any]:
        """Returns `SignatureDef` by name of the signature."""
        return self._signature_defs

    def replay_warmup(self) -> None:
        """Asks what the model brings to be asked before it is served.

        Raises:
          RequestError: It does not answer.
        """
        path = self.folder / _WARMUP_FILE
        if not path.is_file():
            return
        tf = import_tensorflow()
        from tensorflow_serving.apis import prediction_log_pb2

        start, count = time.monotonic(), 0
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            request = log.predict_log.request
            inputs = {n: tf.make_ndarray(t) for n, t in request.inputs.items()}
            self.call(request.model_spec.signature_name or "serving_default", inputs)
            count += 1
        seconds = time.monotonic() - start
        _LOG.info("%s: %d warm-up requests in %.1f s.", self.folder, count, seconds)


def check_names(spec: SignatureSpec, inputs: Mapping[str, Any]) -> None:
    """Checks that a request has the inputs of a signature and no others.

    Raises:
      RequestError: It has not.
    """
    if inputs.keys() == spec.inputs.keys():
        return
    missing = ", ".join(sorted(spec.inputs.keys() - inputs.keys()))
    extra = ", ".join(sorted(inputs.keys() - spec.inputs.keys()))
    raise invalid(
        f"input size does not match signature: {len(inputs)} and {len(spec.inputs)}. "
        f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
    )


def _signature_defs(folder: Path) -> dict[str, Any]:
    """Reads them while the folder is there: a rollback renames it."""
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    content = (folder / "saved_model.pb").read_bytes()
    graph = saved_model_pb2.SavedModel.FromString(content).meta_graphs[0]
    found = {}
    for name, definition in graph.signature_def.items():
        if name != _INIT_OP:
            # A copy, which does not keep the graph in memory.
            found[name] = meta_graph_pb2.SignatureDef()
            found[name].CopyFrom(definition)
    return found


def _spec(function: Any) -> SignatureSpec:
    def specs(tensors: Mapping[str, Any]) -> dict[str, TensorSpec]:
        return {
            name: TensorSpec(tensor.dtype.name, tuple(tensor.shape.as_list()))
            for name, tensor in tensors.items()
        }

    return SignatureSpec(
        specs(function.structured_input_signature[1]),
        specs(function.structured_outputs),
    )
