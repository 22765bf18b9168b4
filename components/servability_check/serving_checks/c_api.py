"""Asks the model through TensorFlow's C API, as TensorFlow Serving runs it.

In this process Python could hide a fault: a function that only exists here, an
operation of a library that somebody has loaded. So a program of a few lines of C loads
the SavedModel and answers a request of each signature. It is compiled anew each time,
which takes a fifth of a second, with the headers of the installed TensorFlow.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.core.protobuf import (
    config_pb2,
    rewriter_config_pb2,
    saved_model_pb2,
)

from .calls import Answer, Client
from .requests import Requests

_SOURCE: Final = "c_api_client.c"
_COMPILERS: Final = ("cc", "gcc", "clang")
_TIMEOUT_SECONDS: Final = 300
# Share of an output's largest value, or absolute: sums of float32 in another order.
_TOLERANCE: Final = 1e-4


class CApiClient:
    """The program, which runs beside this process until its answers are asked for.

    Args:
      path: Folder of the SavedModel.
      requests: A request of each signature is made of it.

    Attributes:
      note: Why the model is not asked through the C API; empty if it is.
    """

    def __init__(self, path: str, requests: Requests) -> None:
        self.note = ""
        self._folder = tempfile.TemporaryDirectory(prefix="c-api-")
        self._process: subprocess.Popen[str] | None = None
        self._requests = requests
        program = self._compiled()
        if program is not None and "://" in path:
            self.note = "the model is in an object store"
            program = None
        if program is None:
            return
        graph = _meta_graph(path)
        self._outputs = {
            name: sorted(graph.signature_def[name].outputs)
            for name in requests.signatures
        }
        text = Path(self._folder.name, "requests.txt")
        text.write_text(self._text(graph), "ascii")
        with text.open() as given:
            self._process = subprocess.Popen(
                [program, str(_library()), path, f"x{_config().hex()}"],
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def faults(self, client: Client) -> Iterator[str]:
        """Waits for the answers and compares them with those of this process."""
        if self._process is None:
            return
        try:
            answers, errors = self._process.communicate(timeout=_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            yield f"the C API gives no answer within {_TIMEOUT_SECONDS} seconds"
            return
        if self._process.returncode:
            last = (errors.strip().splitlines() or ["no error message"])[-1]
            code = self._process.returncode
            yield f"loaded by TensorFlow's C API the model fails ({code}): {last[:300]}"
            return
        lines = iter(answers.splitlines())
        for name, outputs in self._outputs.items():
            found = {output: _tensor(next(lines)) for output in outputs}
            if fault := _difference(found, client.call(name, **self._inputs(name))):
                yield f"{name} answers otherwise through TensorFlow's C API: {fault}"

    def _inputs(self, signature: str) -> dict[str, Any]:
        requests = self._requests
        client = Client(None, requests.types)
        inputs = requests.types[signature]["inputs"]
        if "k" in inputs or signature == "recommend_examples":
            rows = requests.rows(signature)
        else:
            user, movie = requests.users[0]["user_id"], min(requests.corpus)
            rows = [{"user_id": user, "movie_id": movie}]
        return client.batch(signature, rows)

    def _compiled(self) -> str | None:
        """Compiles the program and returns its path; None, and a note, if it cannot."""
        compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
        if compiler is None:
            self.note = f"no C compiler was found ({', '.join(_COMPILERS)})"
            return None
        if _library() is None:
            self.note = "TensorFlow has no libtensorflow_cc"
            return None
        program = str(Path(self._folder.name, "client"))
        include = os.path.join(tf.sysconfig.get_include())
        source = str(Path(__file__).with_name(_SOURCE))
        command = [compiler, "-O1", "-std=gnu11", f"-I{include}", source, "-o", program]
        done = subprocess.run(
            [*command, "-ldl"], capture_output=True, text=True, check=False
        )
        if done.returncode:
            first = (done.stderr.strip().splitlines() or ["no error message"])[0]
            self.note = f"{compiler} fails: {first[:300]}"
            return None
        return program

    def _text(self, graph: Any) -> str:
        """Returns the requests in the format of the program."""
        given: list[Any] = []
        asked: list[Any] = []
        for name, outputs in self._outputs.items():
            signature, types = graph.signature_def[name], self._requests.types[name]
            for key, value in self._inputs(name).items():
                words = _words(value, types["inputs"][key])
                given.append([*signature.inputs[key].name.split(":"), *words])
            asked += [signature.outputs[key].name.split(":") for key in outputs]
        lines = [[len(given)], *given, [len(asked)], *asked]
        return "\n".join(" ".join(map(str, line)) for line in lines)


def _config() -> bytes:
    """Lets the graph be optimized once: the second time takes as long, for nothing."""
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return bytes(config.SerializeToString())


def _library() -> Path | None:
    folder = Path(tf.sysconfig.get_lib())
    return next(iter(sorted(folder.glob("libtensorflow_cc.*"))), None)


def _meta_graph(path: str) -> Any:
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString(Path(path, "saved_model.pb").read_bytes())
    return saved_model.meta_graphs[0]


def _words(value: Any, types: dict[str, Any]) -> Iterator[Any]:
    """Yields dtype, rank, sizes and values."""
    dtype = tf.as_dtype(types["dtype"])
    array = np.array(value, object if dtype == tf.string else dtype.as_numpy_dtype)
    array = array.reshape(array.shape + (0,) * (len(types["dims"]) - array.ndim))
    yield from (dtype.as_datatype_enum, array.ndim, *array.shape)
    for item in array.ravel().tolist():
        if dtype == tf.string:
            yield "x" + (item if isinstance(item, bytes) else item.encode()).hex()
        else:
            yield f"{item:.9g}" if dtype == tf.float32 else int(item)


def _tensor(line: str) -> NDArray[Any]:
    """Reads a line of the program's answers."""
    words = line.split(" ")
    dtype, rank = tf.as_dtype(int(words[0])), int(words[1])
    shape, values = [int(size) for size in words[2 : 2 + rank]], words[2 + rank :]
    if dtype == tf.string:
        texts = [bytes.fromhex(value[1:]) for value in values]
        return np.array(texts, object).reshape(shape)
    numbers = [float(value) for value in values]
    return np.array(numbers).astype(dtype.as_numpy_dtype).reshape(shape)


def _difference(found: Answer, expected: Answer) -> str | None:
    for name, values in found.items():
        wanted = expected[name]
        if values.shape != wanted.shape:
            return f"{name} has the shape {values.shape} and not {wanted.shape}"
        if values.dtype.kind != "f":
            differs = values != wanted
        else:
            real = np.abs(wanted[np.abs(wanted) < np.finfo(np.float32).max])
            largest = max(1.0, float(real.max(initial=0.0)))
            differs = np.abs(values - wanted) > _TOLERANCE * largest
        if differs.any():
            place = tuple(np.argwhere(differs)[0])
            shown = [str(_shown(array[place])) for array in (values, wanted)]
            return f"{name}{list(map(int, place))} is {shown[0]} and not {shown[1]}"
    return None


def _shown(value: Any) -> Any:
    return repr(value.decode("utf-8", "replace")) if isinstance(value, bytes) else value
