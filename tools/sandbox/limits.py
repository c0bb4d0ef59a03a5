"""What a sandboxed program may use, how it ended, and its text made safe to show."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from ...graph.errors import UserError

Status = Literal["ok", "error", "timeout", "memory", "files", "output", "killed"]
"""How a program ended: to its end; by an exception; past a limit of time, memory, number of files or output; by a signal or by ending its own process."""

MAX_CODE = 100_000
"""Longest program, in characters."""

MAX_FILES = 10_000
"""Most files, folders and links that a program may have under /box at a time: each takes about 1 kB of the kernel's memory, which `disk_mb` does not count."""

MAX_MESSAGE = 1_900
"""Longest error message of a program, in characters: agents are shown no more of one."""

CODE_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "the program", "maxLength": MAX_CODE}},
    "required": ["code"],
    "additionalProperties": False,
}
"""Arguments of a tool that runs a program."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one program.

    Raises:
        UserError: on one that no program can have.
    """

    seconds: float = 5.0
    """Wall-clock time of one snippet, start-up not counted (> 0)."""
    memory_mb: int = 512
    """Address space of the process (≥ 64; NumPy needs about 200)."""
    disk_mb: int = 16
    """All it may write under /box, which is memory too (≥ 1)."""
    output_bytes: int = 1_000_000
    """What it may write to stdout and to stderr each, before it is killed (≥ 1)."""
    value_chars: int = 10_000
    """Longest result and longest traceback that is kept, in characters (≥ 1)."""
    threads: bool = False
    """Whether it may start threads; all programs together may have 2048 where they share a user, as root's do."""

    def __post_init__(self) -> None:
        if not (
            self.seconds > 0
            and self.memory_mb >= 64
            and self.disk_mb >= 1
            and self.output_bytes >= 1
            and self.value_chars >= 1
        ):
            raise UserError(
                f"no program can run within {self}; seconds is above 0, memory_mb 64 or more, and the others 1 or more"
            )


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended, and what it left. All text is free of control characters and lone surrogates."""

    status: Status
    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    """`repr` of the value of its last statement if that is an expression with a value other than None."""
    error: str = ""
    """Traceback, or which limit was hit; "" where the status is ok."""
    seconds: float = 0.0
    """Wall-clock time from the program's start to its end."""

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    def text(self) -> str:
        """Return output and value, or output and error, as an agent reads them."""
        parts = [self.stdout.rstrip("\n"), self.stderr.rstrip("\n"), self.value or "", self.error]
        return "\n".join(part for part in parts if part)

    def message(self) -> str:
        """Return output and error for an agent: of the output the beginning, of the error the end, where neither fits."""
        return message("\n".join(text for text in (self.stdout, self.stderr) if text), self.error)


def message(output: str, error: str) -> str:
    """Return a failed program's output and error in at most `MAX_MESSAGE` characters, the error's end before all."""
    error = error.strip("\n")
    if len(error) > MAX_MESSAGE // 2:
        error = f"[...]\n{error[-MAX_MESSAGE // 2 :]}"
    room = MAX_MESSAGE - len(error) - 10
    output = output.strip("\n")
    if len(output) > room:
        output = f"{output[:room]}\n[...]"
    return f"{output}\n{error}" if output else error


_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)")
# C0 but tab and newline, DEL, C1, directional overrides and isolates, line separators that terminals differ on, byte order marks
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(raw: bytes | str) -> str:
    """Return a program's text without terminal escapes, control characters and lone surrogates."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    text = text.replace("\r\n", "\n")
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    return _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)
