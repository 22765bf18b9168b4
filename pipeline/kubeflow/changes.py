"""What the compiled file has that stock TFX's has not, by the mend that changed it."""

from __future__ import annotations

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pipeline import kubeflow_runner as stock
from pipeline.config import PipelineConfig
from pipeline.kubeflow import step_settings
from pipeline.kubeflow.compiler import mends_of

ABSENT: Final = object()
_PLATFORM: Final = "platforms.kubernetes.deploymentSpec.executors"


@dataclass(frozen=True)
class Difference:
    """One place of the file.

    Attributes:
      path: Where, from the file's root, keys parted by dots.
      before: What stood there; `ABSENT` where nothing did.
      after: What stands there; `ABSENT` where nothing does.
    """

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Change:
    """What one function has changed.

    Attributes:
      name: Of the function.
      why: What its documentation says.
      differences: By path; empty where it found nothing to change.
    """

    name: str
    why: str
    differences: list[Difference]

    def example(self) -> Difference:
        """The one that says most: something short that is something else now."""

        def key(item: Difference) -> tuple[bool, int]:
            one_sided = item.before is ABSENT or item.after is ABSENT
            return one_sided, len(f"{item.before}{item.after}")

        return min(self.differences, key=key)


def changes(config: PipelineConfig, *, pinned_span: bool = False) -> list[Change]:
    """All that is changed between TFX's file and ours, in the order in which it is.

    Args:
      config: What is compiled.
      pinned_span: As `compile_pipeline` takes it.
    """
    spec, drivers = stock.bare_spec(config)
    job = stock.stock_job(config)
    found = [_change(stock.bare_spec, job, {"pipelineSpec": spec})]
    for mend in mends_of(config, spec, drivers, pinned_span=pinned_span):
        before = copy.deepcopy(spec)
        mend(spec)
        found.append(_change(mend.func, before, spec))
    document = step_settings.platform_document(spec, config.kubeflow)
    executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    none: dict[str, Any] = {label: {} for label in executors}
    found.append(_change(step_settings.platform_document, none, executors, _PLATFORM))
    return found


def _change(
    function: Callable[..., Any], before: Any, after: Any, path: str = ""
) -> Change:
    text = re.split(r"\n\n(?:Args|Returns|Raises):", inspect.getdoc(function) or "")[0]
    return Change(
        function.__name__, " ".join(text.split()), [*differences(before, after, path)]
    )


def differences(before: Any, after: Any, path: str = "") -> Iterator[Difference]:
    """Compares two documents.

    What is added or removed is one difference, however large; so is a key that was
    given a prefix, and what was appended to a list.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_maps(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(before, after, path)
    elif before != after:
        yield Difference(path, before, after)


def _of_maps(
    before: dict[str, Any], after: dict[str, Any], path: str
) -> Iterator[Difference]:
    renamed = {
        new.partition("-")[2]: new
        for new in after
        if new not in before and new.partition("-")[2] in before.keys() - after.keys()
    }
    for key in sorted({**before, **after}):
        place = f"{path}.{key}" if path else key
        if key in renamed:
            new = renamed[key]
            yield Difference(place, key, new)
            inner = place.removesuffix(key) + new
            yield from differences(before[key], after[new], inner)
        elif key not in renamed.values():
            yield from differences(
                before.get(key, ABSENT), after.get(key, ABSENT), place
            )


def _of_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Difference]:
    if len(before) < len(after) and after[: len(before)] == before:
        yield Difference(f"{path}[{len(before)}:]", ABSENT, after[len(before) :])
    elif len(before) != len(after):
        yield Difference(path, before, after)
    else:
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
