"""One notification through one channel: attempts, time and what may be shown of it.

A channel runs in a thread of its own, and the caller waits for it no longer than its
time: whatever a server does, and wherever a library blocks, the caller goes on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pipeline.secret_text import redacted
from trainer.text import printable

_ATTEMPTS: Final = 3
_FIRST_WAIT: Final = 1.0  # seconds; doubled before each further attempt
# What a channel gets on top, to end by itself and say why.
_GRACE: Final = 0.5
_MAX_LENGTH: Final = 300
_LEAST_SECRET: Final = 4  # characters; a shorter one would blacken whole texts


class NotDeliveredError(Exception):
    """A notification was not delivered; the message says why, in one line.

    Attributes:
      wait: Seconds after which it may be tried again; None if that is of no use.
    """

    def __init__(self, message: str, *, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclass(frozen=True)
class Delivery:
    """A notification that is to be delivered.

    Attributes:
      name: Of the channel, for people.
      seconds: Longest time, all attempts together.
      attempt: Delivers it once, within the given seconds; returns what was answered.
      secrets: Texts that no message may hold.
      close: Ends an attempt that goes on after its time.
    """

    name: str
    seconds: float
    attempt: Callable[[float], str]
    secrets: Sequence[str] = ()
    close: Callable[[], None] = lambda: None


@dataclass
class Answer:
    """What became of a delivery.

    Attributes:
      name: Of the channel.
      delivered: Whether it was delivered.
      text: What was answered, or why it was not delivered; one line.
      seconds: How long it took.
    """

    name: str
    delivered: bool = False
    text: str = ""
    seconds: float = 0.0


def deliver_all(deliveries: Sequence[Delivery]) -> list[Answer]:
    """Delivers all at once; takes as long as the longest may, and half a second."""
    try:
        running = [_Running(delivery) for delivery in deliveries]
        return [one.answer() for one in running]
    except BaseException:  # interrupted: no command is left behind
        for delivery in deliveries:
            delivery.close()
        raise


class _Running:
    """A delivery in a thread; it can be abandoned, and ends with the process."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._start = time.monotonic()
        self._ended: Answer | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def answer(self) -> Answer:
        """Waits for the end, or until the time is over."""
        delivery = self._delivery
        left = self._start + delivery.seconds + _GRACE - time.monotonic()
        self._thread.join(max(left, 0.0))
        ended = self._ended
        if ended is None:
            delivery.close()
            ended = Answer(
                delivery.name, text=f"no end within {delivery.seconds:g} seconds"
            )
            ended.seconds = time.monotonic() - self._start
        ended.text = _shown(ended.text, delivery.secrets)
        return ended

    def _run(self) -> None:
        name = self._delivery.name
        try:
            ended = Answer(name, True, self._deliver())
        except NotDeliveredError as error:
            ended = Answer(name, text=str(error))
        except Exception as error:  # a fault here must not fail a retraining
            ended = Answer(name, text=f"unexpected {type(error).__name__}")
        ended.seconds = time.monotonic() - self._start
        self._ended = ended

    def _deliver(self) -> str:
        end = self._start + self._delivery.seconds
        for number in range(1, _ATTEMPTS + 1):
            try:
                return self._delivery.attempt(end - time.monotonic())
            except NotDeliveredError as error:
                if error.wait is None:
                    raise
                tries = f", {number} attempts" if number > 1 else ""
                wait = max(error.wait, _FIRST_WAIT * 2 ** (number - 1))
                last = number == _ATTEMPTS or time.monotonic() + wait >= end
                if last:
                    raise NotDeliveredError(f"{error}{tries}") from error
                time.sleep(wait)
        raise AssertionError("unreachable")


def _shown(text: str, secrets: Sequence[str]) -> str:
    """What may be shown of a text that a server, a library or a command wrote."""
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, "***")
    text = redacted(printable(text)).strip()
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."
