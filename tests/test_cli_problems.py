"""Files of problems: what a line may hold, and that every bad one is named before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.jsonl import read_problems
from thoughtgraph.tasks.registry import load_task


def write(folder: Path, content: bytes) -> Path:
    path = folder / "problems.jsonl"
    path.write_bytes(content)
    return path


def test_questions_references_and_ids(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        b'\xef\xbb\xbf{"question": "2 + 2?", "answer": 4, "source": "ignored"}\r\n\n'
        b'{"question": "who?", "answer": "me", "id": "q/1"}\n{"question": "who?", "id": 2}\n',
    )
    items = read_problems(path, load_task("text"))
    assert [(item.problem.question, item.reference) for item in items] == [
        ("2 + 2?", "4"),
        ("who?", "me"),
        ("who?", None),
    ]
    assert items[1].problem.id.startswith("q/1:")
    assert items[2].problem.id.startswith("2:")
    assert items[0].problem == load_task("text").problem("2 + 2?")


BAD = [
    (b"{\n", "line 1: not JSON"),
    (b"\n[1]\n", "line 2: not a JSON object"),
    (b'{"q": "x"}\n', "line 1: no `question`"),
    (b'{"question": 7}\n', "`question` is not text"),
    (b'{"question": " "}\n', "line 1: the question is empty"),
    (b'{"question": "x", "answer": true}\n', "`answer` is neither text nor a number"),
    (b'{"question": "x", "id": "a b"}\n', "`id` is not 1 to 100 characters"),
    (b'{"question": "\xff"}\n', "line 1: not UTF-8"),
    (b'{"question": "x"}\n{"question": "y"}\n{"question": "x "}\n', "line 3: the same problem as line 1"),
    (b"[" * 100_000 + b"\n", "line 1: not JSON"),
    (b"\n", "has no problems"),
]


@pytest.mark.parametrize(("content", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_lines_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_problems(write(tmp_path, content), load_task("text"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_bad_line_is_named_at_once(tmp_path: Path) -> None:
    bad = b'{"question": "four"}'
    lines = [b'{"question": "4 5 6 %d"}' % n if n in (1, 9, 11) else bad for n in range(1, 13)]
    with pytest.raises(UserError) as caught:
        read_problems(write(tmp_path, b"\n".join(lines)), load_task("numbers"))
    message = str(caught.value)
    assert "9 bad lines, nothing was started" in message
    assert all(f"line {n}: not a numbers puzzle" in message for n in range(2, 7))
    assert message.endswith("also lines 7-8, 10, 12")


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read"):
        read_problems(tmp_path / "none.jsonl", load_task("text"))
