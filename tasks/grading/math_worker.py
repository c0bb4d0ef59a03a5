"""The process in which math-verify compares two answers; run as a file by `math_pool`, which kills it when it takes too long.

Reads a JSON object a line, `{"gold": …, "answer": …, "seconds": …}`, and answers each with `{"equal": true}` or `{"error": "…"}`. It imports nothing of this
package, so that it starts quickly and holds nothing that an answer could be after.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
from contextlib import suppress
from typing import Any

MEMORY = 2 << 30
"""Address space that a comparison may use, in bytes."""

GRACE = 3
"""Seconds after its time limit at which a worker ends itself, should nobody be left to do it."""

_MARKS = ("$", "\\boxed", "\\(", "\\[")


def equal(gold: str, answer: str) -> bool:
    """Return whether math-verify takes two answers for the same, either of them as the reference.

    Raises:
        ValueError: if it reads nothing in the reference.
    """
    import math_verify

    library: Any = math_verify  # typed in part only

    read_gold = library.parse(marked(gold), parsing_timeout=None)
    read_answer = library.parse(marked(answer), parsing_timeout=None)
    if not read_gold:
        raise ValueError("the reference holds nothing that math-verify can read")
    pairs = ((read_gold, read_answer), (read_answer, read_gold))
    return any(library.verify(first, second, timeout_seconds=None) for first, second in pairs)


def marked(text: str) -> str:
    """Return an answer marked as mathematics, which is where math-verify looks for LaTeX; dollar signs that mean dollars are left out."""
    text = text.replace("\\$", "")
    return text if any(mark in text for mark in _MARKS) else f"${text}$"


def answer_request(line: str) -> dict[str, Any]:
    """Return the reply to one request."""
    request = json.loads(line)
    if hasattr(signal, "alarm"):  # its default action ends the process, in the middle of whatever it computes
        signal.alarm(math.ceil(request["seconds"]) + GRACE)
    try:
        return {"equal": equal(request["gold"], request["answer"])}
    except MemoryError:
        return {"error": "the comparison took too much memory"}
    except Exception as error:  # noqa: BLE001 - a library that reads text from models may raise anything
        return {"error": f"{type(error).__name__}: {error}"[:300]}
    finally:
        if hasattr(signal, "alarm"):
            signal.alarm(0)


def main() -> None:
    """Answer requests until standard input ends."""
    logging.disable(logging.CRITICAL)
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with suppress(Exception):
        equal("\\frac{1}{2}", "0.5")  # loads the grammar
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer_request(line)), flush=True)


if __name__ == "__main__":
    main()
