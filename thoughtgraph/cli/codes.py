"""Exit codes: what a script can tell from how the command ended."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from ..graph.errors import ModelUnavailableError, StoreError, UserError


class ExitCode(IntEnum):
    """How a command ended."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNSOLVED = 3
    DATABASE = 4
    MODEL = 5
    INTERRUPTED = 130


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "some problems failed, or an unexpected error",
    ExitCode.USAGE: "wrong usage or input",
    ExitCode.UNSOLVED: "solve: no right answer within the budget",
    ExitCode.DATABASE: "the database cannot be used, or is not at this program's schema",
    ExitCode.MODEL: "the model cannot be used",
    ExitCode.INTERRUPTED: "interrupted; the run can be resumed",
}

EPILOG = "Exit codes:\n\n\b\n" + "\n".join(f"{code.value:>4}  {text}" for code, text in MEANINGS.items())


def code_of(error: Exception) -> ExitCode:
    """Return the exit code of an error."""
    match error:
        case UserError():
            return ExitCode.USAGE
        case StoreError():
            return ExitCode.DATABASE
        case ModelUnavailableError():
            return ExitCode.MODEL
        case _:
            return ExitCode.FAILED
