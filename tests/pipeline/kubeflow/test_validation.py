"""The server's rules on a small pipeline, one broken at a time. No TFX is needed."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kubeflow.validation import check
from tests.fixtures.lazy import lazily

Documents = tuple[dict[str, Any], dict[str, Any]]

TYPE = {"artifactType": {"instanceSchema": "title: tfx.Model\ntype: object\n"}}


def executor(name: str) -> dict[str, Any]:
    command = ["python", "-m", "x"]
    return {"container": {"image": "i", "command": command, "args": [name, "{{$}}"]}}


def documents() -> Documents:
    """Two steps, an artifact between them, a parameter and a volume."""
    spec = {
        "schemaVersion": "2.1.0",
        "sdkVersion": "tfx",
        "pipelineInfo": {"name": "small"},
        "components": {
            "comp-make": {
                "executorLabel": "exec-make",
                "inputDefinitions": {"parameters": {"n": {"parameterType": "STRING"}}},
                "outputDefinitions": {"artifacts": {"model": TYPE}},
            },
            "comp-use": {
                "executorLabel": "exec-use",
                "inputDefinitions": {"artifacts": {"model": TYPE}},
            },
        },
        "deploymentSpec": {
            "executors": {"exec-make": executor("m"), "exec-use": executor("u")}
        },
        "root": {
            "inputDefinitions": {
                "parameters": {"n": {"parameterType": "STRING", "defaultValue": "1"}}
            },
            "dag": {
                "tasks": {
                    "make": {
                        "taskInfo": {"name": "make"},
                        "componentRef": {"name": "comp-make"},
                        "inputs": {
                            "parameters": {"n": {"componentInputParameter": "n"}}
                        },
                    },
                    "use": {
                        "taskInfo": {"name": "use"},
                        "componentRef": {"name": "comp-use"},
                        "dependentTasks": ["make"],
                        "inputs": {
                            "artifacts": {
                                "model": {
                                    "taskOutputArtifact": {
                                        "producerTask": "make",
                                        "outputArtifactKey": "model",
                                    }
                                }
                            }
                        },
                    },
                }
            },
        },
    }
    mount = {"pvcMount": [{"constant": "claim", "mountPath": "/mnt"}]}
    executors = {"exec-make": mount}
    platform = {
        "platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}
    }
    return copy.deepcopy(spec), platform


def text_of(made: Documents) -> str:
    return yaml.safe_dump_all(made)


def task(spec: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = spec["root"]["dag"]["tasks"][name]
    return found


def test_a_good_pipeline_has_no_problem() -> None:
    assert check(text_of(documents())).problems == []


BREAKS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("it is 2.0.0", lambda s, p: s.update(schemaVersion="2.0.0")),
    ("not a valid message.*extra", lambda s, p: s.update(extra=1)),
    ("'Small' is not a DNS label", lambda s, p: s["pipelineInfo"].update(name="Small")),
    ("has no task", lambda s, p: s["root"]["dag"].update(tasks={})),
    ("root is reserved", lambda s, p: s["components"].update(root={})),
    (
        "use names one that does not exist",
        lambda s, p: task(s, "use")["componentRef"].update(name="x"),
    ),
    (
        "executor: make names one that does not",
        lambda s, p: s["deploymentSpec"]["executors"].pop("exec-make"),
    ),
    (
        "task 'a_b' has more than",
        lambda s, p: s["root"]["dag"]["tasks"].update(a_b=task(s, "make")),
    ),
    (
        "make is a resolver",
        lambda s, p: s["deploymentSpec"]["executors"].update(
            {"exec-make": {"resolver": {"outputArtifactQueries": {}}}}
        ),
    ),
    (
        "make imports /tmp/x",
        lambda s, p: s["deploymentSpec"]["executors"].update(
            {"exec-make": {"importer": {"artifactUri": {"constant": "/tmp/x"}}}}
        ),
    ),
    (
        "no image or no command",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"].pop(
            "command"
        ),
    ),
    ("does not wait for make", lambda s, p: task(s, "use").pop("dependentTasks")),
    ("use.model has no source", lambda s, p: task(s, "use").pop("inputs")),
    (
        "make makes no artifact model",
        lambda s, p: s["components"]["comp-make"].pop("outputDefinitions"),
    ),
    ("no pipeline parameter n", lambda s, p: s["root"].pop("inputDefinitions")),
    (
        "no such key 'other'",
        lambda s, p: task(s, "use").update(
            triggerPolicy={"condition": "inputs.artifacts['other'].artifacts[0]"}
        ),
    ),
    ("not in an object store", lambda s, p: s.update(defaultPipelineRoot="/local")),
    (
        "no executor exec-x",
        lambda s, p: p["platforms"]["kubernetes"]["deploymentSpec"]["executors"].update(
            {"exec-x": {}}
        ),
    ),
    (
        "nodeSelectr is unknown",
        lambda s, p: p["platforms"]["kubernetes"]["deploymentSpec"]["executors"][
            "exec-make"
        ].update(nodeSelectr={}),
    ),
    (
        "no key kubernetes",
        lambda s, p: p["platforms"].update(other=p["platforms"].pop("kubernetes")),
    ),
    (
        "value of DB_PASSWORD is in the file",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"].update(
            env=[{"name": "DB_PASSWORD", "value": "hunter2"}]
        ),
    ),
    (
        "value of --aws_secret_access_key is in the file",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"][
            "args"
        ].append("--aws_secret_access_key=hunter2"),
    ),
    (
        "value of --signing_key is in the file",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"][
            "args"
        ].extend(["--signing_key", "hunter2"]),
    ),
    (
        "value of --sink is in the file",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"][
            "args"
        ].append("--sink=postgres://u:hunter2@db/x"),
    ),
    (
        "value of STORE is in the file",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"].update(
            env=[{"name": "STORE", "value": "AKIA" + "A" * 16}]
        ),
    ),
    (
        "secret: pipeline.defaultPipelineRoot holds one",
        lambda s, p: s.update(defaultPipelineRoot="s3://key:hunter2@bucket"),
    ),
    (
        "one over 100000 characters",
        lambda s, p: s["deploymentSpec"]["executors"]["exec-make"]["container"][
            "args"
        ].append("x" * 100_001),
    ),
]


@pytest.mark.parametrize(("expected", "break_it"), BREAKS, ids=[b[0] for b in BREAKS])
def test_a_broken_rule_is_named(
    expected: str, break_it: Callable[[Any, Any], Any]
) -> None:
    """Secrets in Beam's or other arguments among them: tfx#3326, tfx#5049."""
    spec, platform = documents()
    break_it(spec, platform)
    problems = "\n".join(map(str, check(text_of((spec, platform))).problems))
    assert re.search(expected, problems), problems
    assert "hunter2" not in problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "0 pipelines"),
        ("a: [", "yaml:"),
        ("- 1", "no pipeline"),
        ("x: 1", "no pipeline"),
        ("pipelineSpec: {}", "only Vertex AI accepts"),
        (text_of(documents()) + "---\n" + text_of(documents()), "2 pipelines"),
    ],
)
def test_a_file_without_one_pipeline_is_rejected(text: str, expected: str) -> None:
    (problem,) = check(text).problems
    assert expected in str(problem)


@pytest.mark.slow
def test_parts_of_tfx_that_no_server_runs_are_found() -> None:
    """Our graph avoids them: TFX compiles them into what a server rejects."""

    def problems(pipeline: str) -> str:
        spec = lazily("tests.fixtures.tfx_pipelines", pipeline)()
        return "\n".join(map(str, check(yaml.safe_dump(spec)).problems))

    conditional = problems("conditional_spec")
    assert "no such key '_Bless.blessing'" in conditional
    assert "unknown producer 'Bless_task'" in conditional
    assert "latest is a resolver, which is not implemented" in problems("resolver_spec")
    # tfx#5512: ServabilityCheck runs in its place, on every runner.
    with pytest.raises(NotImplementedError, match="InfraValidator.*not supported"):
        problems("infra_validator_spec")


def test_null_metadata_is_found() -> None:
    """TFX writes null for a property that is declared and not set."""
    spec, platform = documents()
    outputs = spec["components"]["comp-make"]["outputDefinitions"]["artifacts"]
    outputs["model"]["metadata"] = {"a": None, "b": 1}
    problems = "\n".join(map(str, check(text_of((spec, platform))).problems))
    assert "metadata: comp-make.model: a is null" in problems


def test_a_parameter_without_default_must_be_given() -> None:
    spec, platform = documents()
    del spec["root"]["inputDefinitions"]["parameters"]["n"]["defaultValue"]
    text = text_of((spec, platform))
    assert check(text, given=("n",)).problems == []
    assert "parameter n is not optional" in str(check(text).problems[0])
    assert check(text).required == ["n"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]\nroot: *a\n", "an alias holds itself"),
        ("root: " + "[" * 5_000, "yaml: "),
        ("root: " + "{a: " * 3_000 + "1" + "}" * 3_000, "nested too deeply"),
        (
            "a0: &a0 [1]\n"
            + "".join(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}1]\n" for n in range(1, 12))
            + "root: *a11\n",
            "with its aliases",
        ),
        ("root: 2026-13-45\n", "yaml: "),
        ("? [a]\n: 1\nroot: 1", "yaml: "),
        ("root: !!python/object:os.system x", "yaml: "),
        ("\0", "yaml: "),
        ("", "1 and 0 or 1|0 pipelines"),
    ],
)
def test_a_file_that_would_use_up_the_machine_is_one_problem(
    text: str, message: str
) -> None:
    """Cyclic, deep and exponential documents: "billion laughs"."""
    (problem,) = check(text).problems
    assert re.search(message, problem), problem
    assert "\n" not in problem


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.data())
def test_a_file_of_any_shape_is_checked_without_a_traceback(
    data: st.DataObject,
) -> None:
    spec, platform = documents()
    target: Any = data.draw(st.sampled_from([spec, platform]))
    while isinstance(target, dict) and target:
        key = data.draw(st.sampled_from(sorted(target)))
        if not isinstance(target[key], dict) or data.draw(st.booleans()):
            target[key] = data.draw(_VALUES)
            break
        target = target[key]
    for problem in check(text_of((spec, platform))).problems:
        assert isinstance(problem, str)
