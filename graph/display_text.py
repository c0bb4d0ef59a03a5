"""Text from models made fit to show: one line, no control characters, cut to a width.

Model text is untrusted: an escape sequence in a thought could recolour a terminal, retitle it or hide the next line, and a bidirectional control
could reorder what is read. Every drawing passes text through `clean` first and then escapes it for its own format.
"""

from __future__ import annotations

import re
import unicodedata

_LONGEST = 4000
"""Characters looked at: far more than any drawing shows, and a bound on the work for one thought."""

_ESCAPE_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and other strings
    r"|\x1b[ -/]*[0-~]?"
)


def clean(text: str) -> str:
    """Return `text` on one line: escape sequences and control characters gone, runs of white space one space.

    Invisible format characters (bidirectional controls, zero-width joiners) go too; a lone surrogate becomes U+FFFD. At most 4,000 characters are
    read.
    """
    visible = _ESCAPE_SEQUENCES.sub("", text[:_LONGEST])
    if not (visible.isascii() and visible.isprintable()):
        visible = "".join(map(_visible, visible))
    return " ".join(visible.split())


def shorten(text: str, width: int) -> str:
    """Return clean `text`, its end replaced by `…` if it takes more than `width` (≥ 1) terminal cells."""
    if len(text) <= width // 2:
        return text
    used = 0
    for position, character in enumerate(text):
        used += _cells_of(character)
        if used > width or position >= 2 * width:
            return _head(text, width - 1).rstrip() + "…"
    return text


def cells(text: str) -> int:
    """Return how many terminal cells clean `text` takes."""
    return len(text) if text.isascii() else sum(map(_cells_of, text))


def _head(text: str, width: int) -> str:
    used = 0
    for position, character in enumerate(text):
        used += _cells_of(character)
        if used > width or position >= 2 * width:
            return text[:position]
    return text


def _cells_of(character: str) -> int:
    if character.isascii():
        return 1
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _visible(character: str) -> str:
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category == "Cs":
        return "\ufffd"
    return "" if category in ("Cc", "Cf") else character
