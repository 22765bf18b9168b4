"""`two-tower serve` as a process: stock clients, new versions under load, its end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow
BODY = b'{"instances": [{"user_id": "42", "k": 2}]}'
COMMAND = (sys.executable, "-m", "pipeline", "serve", "--serving-dir")


@dataclass
class Server:
    """A server with version 1."""

    process: subprocess.Popen[str]
    rest: str
    grpc: str
    serving: Path
    impressions: Path

    def predict(self) -> str:
        """The version that answers; it fails where the status is not 200."""
        url = f"http://{self.rest}/v1/models/two-tower:predict"
        with urllib.request.urlopen(url, BODY, timeout=30) as answer:
            return str(answer.headers["X-Model-Version"])


@pytest.fixture
def server(push: Callable[[int], Path], tmp_path: Path) -> Iterator[Server]:
    serving = push(1).parent
    impressions = tmp_path / "impressions"
    process = subprocess.Popen(
        [*COMMAND, str(serving), "--port", "0", "--grpc-port", "0"]
        + ["--log-impressions", str(impressions)],
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "log").open("w"),
        text=True,
        cwd=REPOSITORY,
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    found = re.findall(r"(127\.0\.0\.1:\d+)", "".join(lines))
    assert len(found) == 2, (tmp_path / "log").read_text()
    yield Server(process, found[0], found[1], serving, impressions)
    if process.poll() is None:
        process.kill()
    process.wait()


def test_stock_clients_new_versions_and_the_end(
    server: Server, push: Callable[[int], Path], tmp_path: Path
) -> None:
    run_the_client_of_the_documentation(server, tmp_path)
    check_grpc(server.grpc)
    follow_versions_under_load(server, push)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert list(server.impressions.rglob("*.parquet"))
    log = (tmp_path / "log").read_text()
    assert "Serving version 2" in log
    assert "Traceback" not in log


def run_the_client_of_the_documentation(server: Server, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "serving.md").read_text()
    [code] = re.findall(r"```python\n(# stock_client\.py\n.*?)```", page, re.DOTALL)
    code = code.replace("127.0.0.1:8501", server.rest)
    script = tmp_path / "stock_client.py"
    script.write_text(code.replace("127.0.0.1:8500", server.grpc))
    ran = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert ran.stdout == "['0', '1', '2']\n['0', '1', '2']\n", ran.stderr


def request(**changes: object) -> predict_pb2.PredictRequest:
    found = predict_pb2.PredictRequest()
    found.model_spec.name = "two-tower"
    inputs = {"user_id": tf.constant(["42"]), "k": tf.constant([2])} | changes
    for name, tensor in inputs.items():
        if tensor is not None:
            found.inputs[name].CopyFrom(tf.make_tensor_proto(tensor))
    return found


def check_grpc(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        asked = request()
        asked.output_filter.append("movie_ids")
        answer = stub.Predict(asked)
        assert tf.make_ndarray(answer.outputs["movie_ids"]).tolist() == [[b"0", b"1"]]
        assert list(answer.outputs) == ["movie_ids"]
        assert answer.model_spec.version.value == 1
        check_refusals(stub)
        metadata = get_model_metadata_pb2.GetModelMetadataRequest(
            metadata_field=["signature_def"]
        )
        metadata.model_spec.name = "two-tower"
        signatures = get_model_metadata_pb2.SignatureDefMap()
        stub.GetModelMetadata(metadata).metadata["signature_def"].Unpack(signatures)
        assert {"serving_default", "known_user"} <= set(signatures.signature_def)
        asked_status = get_model_status_pb2.GetModelStatusRequest()
        asked_status.model_spec.name = "two-tower"
        states = model_service_pb2_grpc.ModelServiceStub(channel)
        [state] = states.GetModelStatus(asked_status).model_version_status
        available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        assert (state.version, state.state) == (1, available)


def check_refusals(stub: prediction_service_pb2_grpc.PredictionServiceStub) -> None:
    elsewhere, nameless, labelled, old = (request() for _ in range(4))
    elsewhere.model_spec.name = "other"
    nameless.model_spec.signature_name = "other"
    labelled.model_spec.version_label = "canary"
    old.model_spec.version.value = 7
    huge = request()
    huge.inputs["k"].tensor_shape.dim[0].size = 2**40
    invalid, not_found = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
    for asked, code, message in (
        (elsewhere, not_found, "Servable not found"),
        (nameless, invalid, 'signature name: "other"'),
        (labelled, invalid, "version label: canary"),
        (old, not_found, "Specific(two-tower, 7)"),
        (huge, invalid, 'Input "k" has more than'),
        (request(k=None), invalid, "Missing but required: {k}"),
        (request(k=tf.constant([0])), invalid, "k must be from 1 to"),
        (request(k=tf.constant([1], tf.int64)), invalid, '"k" has the type int64'),
        (request(user_id=tf.constant("1")), invalid, '"user_id" has 0 dimensions'),
        (predict_pb2.PredictRequest(), invalid, "Missing ModelSpec"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(asked)
        assert refused.value.code() == code
        assert message in refused.value.details()


def follow_versions_under_load(server: Server, push: Callable[[int], Path]) -> None:
    """No request fails while a version is pushed, and while it is withdrawn."""
    done = threading.Event()
    failures: list[Exception] = []

    def ask_on() -> None:
        while not done.is_set():
            try:
                server.predict()
            except (OSError, urllib.error.URLError) as error:
                failures.append(error)

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        newer = push(2)
        wait_for(server, "2")
        newer.rename(server.serving / ".withdrawn-2")
        wait_for(server, "1")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failures


def wait_for(server: Server, version: str) -> None:
    until = time.monotonic() + 60
    while server.predict() != version:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_a_port_in_use_is_an_error_of_one_line(served_model: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run(
            [*COMMAND, str(served_model.parent), "--port", port],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=os.environ | {"TWO_TOWER_TRACEBACK": ""},
            check=False,
        )
    assert ran.returncode == 1
    [line] = ran.stderr.splitlines()
    assert f"127.0.0.1:{port} cannot be listened on" in line
    assert "--port" in line
