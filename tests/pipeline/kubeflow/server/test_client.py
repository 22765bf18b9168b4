"""The client against a server that fails in all the ways that servers do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.kubeflow.server import runs, schedules
from pipeline.kubeflow.server.client import Client, Version
from pipeline.kubeflow.server.endpoint import Endpoint, find
from pipeline.kubeflow.server.rest import Rest
from tests.fixtures.kfp_server import Fault, State, serving
from tests.pipeline.kubeflow.validation.test_rules import documents, text_of
from trainer.errors import UserError

TEXT = text_of(documents())
NAME = "two-tower"


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def url(state: State) -> Iterator[str]:
    with serving(state) as address:
        yield address


@pytest.fixture
def client(url: str) -> Client:
    return client_of(Endpoint(url))


def client_of(endpoint: Endpoint) -> Client:
    return Client(Rest(endpoint, timeout_seconds=0.5, pause_seconds=0.01))


def test_a_pipeline_is_uploaded_once(client: Client, state: State) -> None:
    first = client.deploy(NAME, TEXT)
    again = client.deploy(NAME, TEXT)
    assert (first.is_new, again.is_new) == (True, False)
    assert first.version_id == again.version_id
    assert len(state.pipelines) == len(state.versions) == 1
    assert state.files[first.version_id] == TEXT
    other = client.deploy(NAME, TEXT + "\n# changed\n")
    assert other.pipeline_id == first.pipeline_id
    assert other.version_id != first.version_id


def test_an_old_version_is_found_on_a_later_page(client: Client, state: State) -> None:
    first = client.deploy(NAME, TEXT)
    for number in range(5):
        client.deploy(NAME, f"{TEXT}\n# {number}\n")
    assert not client.deploy(NAME, TEXT).is_new
    assert client.deploy(NAME, TEXT).version_id == first.version_id


@pytest.mark.parametrize("kind", [500, "half", "silent", 502])
@pytest.mark.parametrize("call", ["POST pipelines", "POST pipelines/upload_version"])
def test_what_was_done_without_an_answer_is_not_done_twice(
    client: Client, state: State, kind: int | str, call: str
) -> None:
    state.faults[call] = Fault(kind, after=True)
    assert client.deploy(NAME, TEXT).name
    assert len(state.pipelines) == len(state.versions) == 1


@pytest.mark.parametrize("kind", [500, "half", "silent", 503])
def test_reads_are_repeated(client: Client, state: State, kind: int | str) -> None:
    state.faults["GET healthz"] = Fault(kind, times=2)
    client.check()
    assert state.requests == ["GET healthz"] * 3


def test_a_busy_server_is_asked_again(client: Client, state: State) -> None:
    state.faults["POST pipelines"] = Fault(503, times=2)
    assert client.deploy(NAME, TEXT).is_new


def test_nothing_half_created_is_left(client: Client, state: State) -> None:
    broken = TEXT.replace("2.1.0", "2.0.0")
    with pytest.raises(UserError, match=r"refuses the request \(400\).*not 2\.1\.0"):
        client.deploy(NAME, broken)
    assert state.pipelines == {}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (401, r"does not know us \(401\).*TWO_TOWER_KFP_TOKEN"),
        (403, r"does not permit this \(403\).*--namespace"),
        (404, "no Kubeflow Pipelines server of version 2"),
        (302, "wants a login"),
        (500, r"failed \(500\).*kubectl -n kubeflow logs"),
        (503, r"overloaded or starting \(503\)"),
        ("half", "did not answer whole"),
        ("text", "did not answer whole"),
        ("silent", "did not answer in time"),
    ],
)
def test_a_server_that_fails_is_one_line(
    client: Client, state: State, kind: int | str, message: str
) -> None:
    state.faults["GET healthz"] = Fault(kind, times=9)
    with pytest.raises(UserError, match=message) as caught:
        client.check()
    assert "\n" not in str(caught.value)


def test_no_server_is_one_line() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match="cannot be reached.*port-forward"):
        client_of(Endpoint(f"http://127.0.0.1:{port}")).check()


def test_the_token_is_sent_and_never_shown(state: State, url: str) -> None:
    state.token = "s3cr3t"
    endpoint = Endpoint(url, token="s3cr3t")
    assert "s3cr3t" not in repr(endpoint)
    client_of(endpoint).check()
    with pytest.raises(UserError, match="401") as caught:
        client_of(Endpoint(url, token="other-s3cr3t")).check()
    assert "s3cr3t" not in str(caught.value)


def test_endpoints_come_from_flags_then_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    environment = {
        "TWO_TOWER_KFP_ENDPOINT": "https://from.environment/pipeline/",
        "TWO_TOWER_KFP_TOKEN": "from-environment",
        "TWO_TOWER_KFP_NAMESPACE": "team",
    }

    def found(
        url: str | None = None, token: Path | None = None, space: str | None = None
    ) -> tuple[str, str | None, str | None]:
        endpoint = find(
            url=url,
            token_file=token,
            namespace=space,
            context=None,
            environment=environment,
        )
        return endpoint.url, endpoint.token, endpoint.namespace

    from_environment = ("https://from.environment/pipeline", "from-environment", "team")
    assert found() == from_environment
    given = found("http://given", tmp_path / "token", "mine")
    assert given == ("http://given", "from-file", "mine")
    with pytest.raises(UserError, match=r"no http:// or https:// URL"):
        found("ftp://x")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        found("http://given", tmp_path / "missing")


def test_within_a_cluster_the_servers_own_name_is_taken() -> None:
    endpoint = find(
        url=None,
        token_file=None,
        namespace=None,
        context=None,
        environment={"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
    )
    assert endpoint.url == "http://ml-pipeline.kubeflow.svc.cluster.local:8888"


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
    endpoint = find(
        url=None, token_file=None, namespace=None, context="a", environment={}
    )
    assert endpoint.url.startswith("https://10.0.0.1:6443/api/v1/namespaces/kubeflow/")
    assert endpoint.token == "kube-token"
    with pytest.raises(UserError, match="kube config names none"):
        find(url=None, token_file=None, namespace=None, context="b", environment={})


@pytest.fixture
def version(client: Client) -> Version:
    return client.deploy(NAME, TEXT)


def test_a_run_is_started_once_with_its_span(
    client: Client, state: State, version: Version
) -> None:
    state.faults["POST runs"] = Fault("half", after=True)
    submission = runs.Submission(span="2026-03-01", service_account="runner")
    run_id = runs.start(client, version, NAME, submission)
    (run,) = state.runs.values()
    assert run["run_id"] == run_id
    assert run["runtime_config"] == {"parameters": {"span": "2026-03-01"}}
    assert run["service_account"] == "runner"
    (experiment,) = state.experiments.values()
    assert experiment["display_name"] == NAME
    assert runs.link(client, run_id).endswith(f"/#/runs/details/{run_id}")


def test_an_unknown_experiment_is_refused(
    client: Client, state: State, version: Version
) -> None:
    with pytest.raises(UserError, match="There is no experiment 'other'"):
        runs.start(client, version, NAME, runs.Submission(experiment="other"))
    assert state.runs == state.experiments == {}


def task(name: str, state: str, message: str = "") -> dict[str, object]:
    error = {"error": {"message": message}} if message else {}
    return {"display_name": name, "state": state, **error}


def test_a_run_is_followed_step_by_step(
    client: Client, state: State, version: Version
) -> None:
    run_id = runs.start(client, version, NAME, runs.Submission())
    state.story = [
        {
            "state": "RUNNING",
            "run_details": {"task_details": [task("root", "RUNNING")]},
        },
        {
            "state": "RUNNING",
            "run_details": {
                "task_details": [
                    task("Trainer", "RUNNING"),
                    task("Trainer-driver", "SUCCEEDED"),
                ]
            },
        },
        {
            "state": "FAILED",
            "error": {"message": "a step failed"},
            "run_details": {"task_details": [task("Trainer", "FAILED", "no disk")]},
        },
    ]
    state.faults[f"GET runs/{run_id}"] = Fault(500, times=2)
    lines: list[str] = []
    assert not runs.follow(client, run_id, lines.append, poll_seconds=0.01)
    assert [" ".join(line.split()) for line in lines] == [
        "Trainer running",
        "Trainer failed: no disk",
        f"Run {run_id} failed: a step failed",
    ]


def test_a_run_that_succeeded_is_true(
    client: Client, state: State, version: Version
) -> None:
    run_id = runs.start(client, version, NAME, runs.Submission())
    state.story = [{"state": "SUCCEEDED"}]
    assert runs.follow(client, run_id, lambda _: None, poll_seconds=0.01)


def test_schedules_are_created_paused_and_deleted(
    client: Client, state: State, version: Version
) -> None:
    wanted = schedules.Schedule(name="daily", expression="0 0 3 * * *")
    submission = runs.Submission(span="yesterday")
    made = schedules.create(client, version, NAME, wanted, submission)
    (found,) = state.recurringruns.values()
    assert found["trigger"] == {"cron_schedule": {"cron": "0 0 3 * * *"}}
    assert (found["no_catchup"], found["max_concurrency"]) == (True, "1")
    assert found["runtime_config"] == {"parameters": {"span": "yesterday"}}
    with pytest.raises(UserError, match="There is a schedule 'daily' already"):
        schedules.check_name(client, "daily")
    schedules.switch(client, made, enabled=False)
    assert found["status"] == "DISABLED"
    schedules.switch(client, made, enabled=True)
    assert found["status"] == "ENABLED"
    schedules.delete(client, made)
    assert schedules.listed(client) == []


@pytest.mark.parametrize("span", ["latest", "2026-03-01", "12", "[[ScheduledTime]]"])
def test_a_schedule_takes_no_span_that_stays_the_same(span: str) -> None:
    """tfx#4273, community#349: "latest" would be old data once more."""
    with pytest.raises(UserError, match="Give --span yesterday, today or today-3"):
        schedules.check_span(span)
    schedules.check_span("yesterday")
    schedules.check_span("today-3")


def test_namespaces_are_kept_apart(state: State, url: str) -> None:
    one, two = (client_of(Endpoint(url, namespace=name)) for name in ("a", "b"))
    assert one.deploy(NAME, TEXT).is_new
    assert two.deploy(NAME, TEXT).is_new
    assert {item["namespace"] for item in state.pipelines.values()} == {"a", "b"}
