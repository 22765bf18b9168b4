"""gRPC services of TensorFlow Serving: `PredictionService` and `ModelService`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Iterator
from typing import Any, Final

import grpc

from pipeline.serving.server import status
from pipeline.serving.server.errors import RequestError, Status, invalid
from pipeline.serving.server.json_tensors import DEFAULT_SIGNATURE
from pipeline.serving.server.loaded import Array, SignatureSpec, check_names
from pipeline.serving.server.predictor import Predictor, Target, new_request_id
from pipeline.serving.tensorflow_alone import import_tensorflow

_LOG: Final = logging.getLogger(__name__)
_MAX_MESSAGE: Final = 16 << 20  # bytes
_MAX_VALUES: Final = 16 << 20
_SMALL: Final = 64 << 10
_SIGNATURE_DEF: Final = "signature_def"
_REQUEST_ID: Final = "x-request-id"


def make_server(predictor: Predictor, address: str) -> grpc.aio.Server:
    """Returns a server that is bound to an address, to be started and stopped.

    Args:
      predictor: Answers.
      address: Host and port.

    Raises:
      RuntimeError: The address cannot be bound.
    """
    from tensorflow_serving.apis import (
        model_service_pb2_grpc,
        prediction_service_pb2_grpc,
    )

    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            ("grpc.max_send_message_length", -1),
            # Else a second server would silently get half of the requests.
            ("grpc.so_reuseport", 0),
        ]
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        _prediction_service(predictor), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(
        _model_service(predictor), server
    )
    server.add_insecure_port(address)
    return server


def _prediction_service(predictor: Predictor) -> Any:
    from tensorflow_serving.apis import (
        get_model_metadata_pb2,
        predict_pb2,
        prediction_service_pb2_grpc,
    )

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        async def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
            response = predict_pb2.PredictResponse()
            try:
                await _predict(predictor, request, response, context)
            except Exception as error:
                await _abort(context, error)
            return response

        async def GetModelMetadata(  # noqa: N802
            self, request: Any, context: Any
        ) -> Any:
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            try:
                _fill_metadata(predictor, request, response)
            except Exception as error:
                await _abort(context, error)
            return response

    return Service()


def _model_service(predictor: Predictor) -> Any:
    from tensorflow_serving.apis import get_model_status_pb2, model_service_pb2_grpc

    class Service(model_service_pb2_grpc.ModelServiceServicer):
        async def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
            response = get_model_status_pb2.GetModelStatusResponse()
            kind = get_model_status_pb2.ModelVersionStatus
            try:
                found = status.states(predictor, _target(request.model_spec))
            except Exception as error:
                await _abort(context, error)
            for version, state, code, message in found:
                row = response.model_version_status.add(
                    version=version, state=kind.State.Value(state)
                )
                row.status.error_code = Status[code]
                row.status.error_message = message
            return response

    return Service()


async def _predict(
    predictor: Predictor, request: Any, response: Any, context: Any
) -> None:
    """Fills the response of a request.

    Raises:
      RequestError: It is refused.
    """
    with predictor.metrics.measured("grpc") as measured:
        target = _target(request.model_spec)
        signature = request.model_spec.signature_name or DEFAULT_SIGNATURE
        spec = predictor.find(target).signature(signature)
        measured.signature = signature
        wanted = _wanted_outputs(request, spec)
        if request.ByteSize() <= _SMALL:
            inputs = _decoded(request, spec)
        else:
            inputs = await asyncio.to_thread(_decoded, request, spec)
        metadata = dict(context.invocation_metadata() or ())
        request_id = metadata.get(_REQUEST_ID) or new_request_id()
        version, outputs = await predictor.predict(
            target, signature, inputs, request_id
        )
    response.model_spec.name = target.name
    response.model_spec.signature_name = signature
    response.model_spec.version.value = version.version
    tf = import_tensorflow()
    for name in wanted:
        tensor = tf.make_tensor_proto(outputs[name], spec.outputs[name].dtype)
        response.outputs[name].CopyFrom(tensor)


def _target(spec: Any) -> Target:
    """Returns which model a `ModelSpec` names.

    Raises:
      RequestError: It names none.
    """
    if not spec.name:
        raise invalid("Missing ModelSpec")
    choice = spec.WhichOneof("version_choice")
    if choice == "version":
        return Target(spec.name, int(spec.version.value))
    return Target(spec.name, spec.version_label if choice else None)


def _wanted_outputs(request: Any, spec: SignatureSpec) -> list[str]:
    """Returns the names of the outputs that are asked for, by default all.

    Raises:
      RequestError: There is no such output.
    """
    names = list(request.output_filter) or list(spec.outputs)
    for name in names:
        if name not in spec.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected "
                f"to be in the set {{{','.join(sorted(spec.outputs))}}}."
            )
    return names


def _decoded(request: Any, spec: SignatureSpec) -> dict[str, Array]:
    """Returns the inputs of a request.

    Raises:
      RequestError: They are not those of the signature.
    """
    tf = import_tensorflow()
    check_names(spec, request.inputs)
    inputs = {}
    for name, tensor in request.inputs.items():
        expected = spec.inputs[name]
        with _explained(name):
            dtype = tf.dtypes.as_dtype(tensor.dtype).name
            if dtype != expected.dtype:
                raise invalid(
                    f'Input "{name}" has the type {dtype}, but must have '
                    f"{expected.dtype}."
                )
            # A shape may promise more than the message has: one value is repeated.
            if math.prod(dim.size for dim in tensor.tensor_shape.dim) > _MAX_VALUES:
                raise invalid(f'Input "{name}" has more than {_MAX_VALUES} values.')
            array = tf.make_ndarray(tensor)
        if array.ndim != len(expected.shape):
            raise invalid(
                f'Input "{name}" has {array.ndim} dimensions, but must have '
                f"{len(expected.shape)}."
            )
        inputs[name] = array
    return inputs


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Makes errors of a malformed tensor the client's."""
    try:
        yield
    except (TypeError, ValueError, KeyError) as error:
        raise invalid(f'Input "{name}" is malformed: {error}') from error


def _fill_metadata(predictor: Predictor, request: Any, response: Any) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2

    fields = list(request.metadata_field)
    if not fields:
        raise invalid(
            "GetModelMetadataRequest must specify at least one metadata_field"
        )
    if unknown := [name for name in fields if name != _SIGNATURE_DEF]:
        raise invalid(f"Metadata field {unknown[0]} is not supported")
    target = _target(request.model_spec)
    version = predictor.find(target)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, definition in version.signature_defs().items():
        signatures.signature_def[name].CopyFrom(definition)
    response.model_spec.name = target.name
    response.model_spec.version.value = version.version
    response.metadata[_SIGNATURE_DEF].Pack(signatures)


async def _abort(context: Any, error: Exception) -> None:
    """Ends a call with the status of an error."""
    if isinstance(error, RequestError):
        code, message = _CODES[error.status], error.message
    elif isinstance(error, grpc.aio.AbortError):
        raise error
    else:
        _LOG.error("A gRPC request failed.", exc_info=error)
        code = grpc.StatusCode.INTERNAL
        message = "Internal error; the server's log has it."
    await context.abort(code, message)


_CODES: Final = {Status(code.value[0]): code for code in grpc.StatusCode}
