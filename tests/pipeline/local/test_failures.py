from __future__ import annotations

import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.local.failures import explain
from trainer.errors import UserError


def caught(raise_it: Callable[[], None]) -> BaseException:
    with pytest.raises(Exception) as raised:
        raise_it()
    return raised.value


def test_the_innermost_user_error_is_the_cause() -> None:
    def wrapped() -> None:
        try:
            raise UserError("u.data line 3: rating is 99", "Correct the line.")
        except UserError as error:
            raise RuntimeError("Execution 7 failed") from error

    failure = explain(caught(wrapped))
    assert failure.message == "u.data line 3: rating is 99"
    assert failure.remedy == "Correct the line."


def test_a_step_on_a_full_disk_names_the_file_system(tmp_path: Path) -> None:
    error = UserError(
        "The model /a cannot be copied to /b: /b/push.json; No space left on device",
        "Check that both can be read and written.",
    )
    failure = explain(error, [tmp_path])
    assert "No space is left on the file system /" in failure.message
    assert "Free some space there" in failure.remedy


@pytest.mark.parametrize("kind", [OSError, RuntimeError, UserError])
def test_a_cause_shows_no_secret(kind: type[Exception]) -> None:
    text = "GET https://user:hunter22@host/u.data failed"
    error = UserError(text, text) if kind is UserError else kind(text)
    assert "hunter22" not in str(explain(error))
    assert "hunter22" not in str(explain(RuntimeError(worker_text(error))))


def test_otherwise_the_innermost_exception_is_the_cause() -> None:
    def wrapped() -> None:
        try:
            {}["a"]  # noqa: B018
        except KeyError as error:
            raise RuntimeError("Execution 7 failed") from error

    assert explain(caught(wrapped)).message == "KeyError: 'a'"


def worker_text(error: BaseException) -> str:
    """What Beam hands over of an exception in a worker."""
    return "".join(traceback.format_exception(error))


def test_a_user_error_is_found_in_the_text_of_a_traceback() -> None:
    def wrong() -> None:
        raise UserError("rating is 99", "Correct it. [while running 'Read']")

    text = worker_text(caught(wrong))
    assert explain(RuntimeError(text)).message == "rating is 99. Correct it."


def test_another_error_is_found_in_the_text_of_a_traceback() -> None:
    def wrapped() -> None:
        try:
            raise ValueError("bad shape [while running 'A/B-ptransform-1']")
        except ValueError as error:
            raise TypeError("outer") from error

    text = worker_text(caught(wrapped))
    assert explain(RuntimeError(text)).message == "ValueError: bad shape"


def test_a_cause_is_one_line_of_limited_length() -> None:
    cause = explain(ValueError("graph node\n\n" + "detail " * 1000)).message
    assert cause.startswith("ValueError: graph node detail")
    assert "\n" not in cause and len(cause) <= 500
