"""Errors that a user can fix."""

from __future__ import annotations

from typing import ClassVar

from trainer.text import printable


class UserError(Exception):
    """An error that the user can fix: input, configuration or environment.

    Attributes:
      message: What is wrong: the file, line, key or value, and what was expected.
      remedy: What to do about it, as a sentence or a command.
      exit_code: That of a command that it ends.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, remedy: str) -> None:
        """Joins both into one printable line, which is all that a user sees."""
        self.message = printable(message)
        self.remedy = printable(remedy)
        super().__init__(f"{self.message.rstrip('.')}. {self.remedy}")

    def __reduce__(self) -> tuple[type[UserError], tuple[str, str]]:
        """Keeps both parts when Beam pickles the error."""
        return type(self), (self.message, self.remedy)


class UsageError(UserError):
    """The command line or the configuration is wrong."""

    exit_code = 2
