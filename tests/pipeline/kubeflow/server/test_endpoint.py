"""Where the server's address and the token come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.kubeflow.server.endpoint import (
    ENDPOINT_ENV,
    NAMESPACE_ENV,
    TOKEN_ENV,
    Endpoint,
)
from trainer.errors import UserError


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENDPOINT_ENV, TOKEN_ENV, NAMESPACE_ENV, "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)


def url_of(endpoint: Endpoint) -> str:
    return str(endpoint.configuration().host)


def token_of(endpoint: Endpoint) -> str:
    """The header with which requests are sent."""
    header = endpoint.configuration().get_api_key_with_prefix("authorization")
    return str(header).removeprefix("Bearer ")


def test_endpoints_come_from_flags_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("from-file\n")
    assert Endpoint().scope() == {}
    monkeypatch.setenv("TWO_TOWER_KFP_ENDPOINT", "https://from.environment/pipeline/")
    monkeypatch.setenv("TWO_TOWER_KFP_TOKEN", "from-environment")
    monkeypatch.setenv("TWO_TOWER_KFP_NAMESPACE", "team")

    def found(
        url: str | None = None, token: Path | None = None, space: str | None = None
    ) -> tuple[str, str, dict[str, str]]:
        endpoint = Endpoint(url=url, token_file=token, namespace=space)
        return url_of(endpoint), token_of(endpoint), endpoint.scope()

    assert found() == (
        "https://from.environment/pipeline",
        "from-environment",
        {"namespace": "team"},
    )
    given = found("http://given", tmp_path / "token", "mine")
    assert given == ("http://given", "from-file", {"namespace": "mine"})
    with pytest.raises(UserError, match=r"is not an http:// or https:// URL"):
        found("ftp://x")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        found("http://given", tmp_path / "missing")


@pytest.mark.parametrize("token", ["a\nb", "caf\u00e9", " \t", "a\x7f"])
def test_a_token_that_no_header_can_hold_is_rejected(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP libraries repeat such a token in their message."""
    (tmp_path / "token").write_text(f"s3cr3t{token}" if token.strip() else token)
    monkeypatch.setenv("TWO_TOWER_KFP_TOKEN", f"s3cr3t{token}\r")
    for file in (tmp_path / "token", None):
        with pytest.raises(UserError, match="holds no token") as caught:
            Endpoint(url="http://x", token_file=file).configuration()
        assert "s3cr3t" not in str(caught.value)


def test_in_a_cluster_the_servers_own_name_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert url_of(Endpoint()) == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"


def test_the_kube_config_leads_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.write_text(
        "{apiVersion: v1, kind: Config, current-context: a, "
        "contexts: [{name: a, context: {cluster: c, user: u}}], "
        "clusters: [{name: c, cluster: {server: 'https://10.0.0.1:6443'}}], "
        "users: [{name: u, user: {token: kube-token}}]}"
    )
    loader = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
    monkeypatch.setattr(loader, str(config))
    endpoint = Endpoint(kube_context="a")
    assert url_of(endpoint).startswith(
        "https://10.0.0.1:6443/api/v1/namespaces/kubeflow/"
    )
    assert token_of(endpoint) == "kube-token"
    with pytest.raises(UserError, match="kube config names none"):
        Endpoint(kube_context="b").configuration()
