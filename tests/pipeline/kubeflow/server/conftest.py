"""A server over real HTTP, and a client with little patience."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pipeline.kubeflow.server.client import Client, Version
from pipeline.kubeflow.server.endpoint import TOKEN_ENV, Endpoint
from tests.fixtures.kfp_server import State, serving
from tests.pipeline.kubeflow.test_validation import documents, text_of

NAME = "two-tower"
TEXT = text_of(documents())


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def url(state: State) -> Iterator[str]:
    with serving(state) as address:
        yield address


@pytest.fixture
def connect(url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    """Makes a client, with a token and the fields of `Endpoint`."""

    def make(token: str = "", **fields: Any) -> Client:
        monkeypatch.setenv(TOKEN_ENV, token)
        endpoint = Endpoint(**{"url": url, "timeout_seconds": 0.5, **fields})
        return Client(endpoint, backoff_seconds=0.01)

    return make


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    return connect()


@pytest.fixture
def version(client: Client) -> Version:
    return client.deploy(NAME, TEXT)
