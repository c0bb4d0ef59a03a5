from __future__ import annotations

import asyncio
import json
import math
import os
import re
import sqlite3
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thoughtgraph.graph.errors import ToolError, UserError
from thoughtgraph.tools.base import Call, Tool
from thoughtgraph.tools.calling import call_tool, check_arguments
from thoughtgraph.tools.retrieval.bm25 import Passage, PassageIndex, words_of
from thoughtgraph.tools.retrieval.documents import documents_tool
from thoughtgraph.tools.retrieval.passages import LENGTH, OVERLAP, cut


async def ask(tool: Tool, query: str) -> str:
    check_arguments(tool, {"query": query})
    return (await call_tool(tool, Call({"query": query}))).text


def bm25(passages: list[str], query: list[str]) -> list[float]:
    """The formula of the module's docstring, by hand."""
    counts = [Counter(text.split()) for text in passages]
    lengths = [len(text.split()) for text in passages]
    mean = sum(lengths) / len(lengths)
    scores = [0.0] * len(passages)
    for word in dict.fromkeys(query):
        n = sum(word in one for one in counts)
        idf = math.log((len(passages) - n + 0.5) / (n + 0.5)) if n else 0.0
        idf = idf if idf > 0 else 1e-6
        for i, one in enumerate(counts):
            f = one[word]
            scores[i] += idf * f * 2.2 / (f + 1.2 * (0.25 + 0.75 * lengths[i] / mean))
    return scores


# stems that are their own stem, so that the formula needs no stemmer
_WORDS = st.sampled_from(["cat", "dog", "owl", "hen", "fox", "ant", "bee", "elk"])


@given(
    st.lists(st.lists(_WORDS, min_size=1, max_size=12), min_size=1, max_size=20),
    st.lists(_WORDS, min_size=1, max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_scores_are_those_of_the_formula(texts: list[list[str]], query: list[str]) -> None:
    passages = [" ".join(text) for text in texts]
    index = PassageIndex.in_memory(Passage(text, str(i)) for i, text in enumerate(passages))
    wanted = bm25(passages, query)
    found = {int(one.source): score for one, score in index.search(" ".join(query), len(passages))}
    assert set(found) == {i for i, text in enumerate(texts) if set(text) & set(query)}
    for i, score in found.items():
        assert score == pytest.approx(wanted[i], rel=1e-6)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_golden_order() -> None:
    texts = [
        "the tax on bread is five percent",
        "bread bread bread",
        "a long text about wine and cheese that mentions bread once among many other words of no use",
        "wine is taxed at twenty percent",
        "nothing here",
    ]
    index = PassageIndex.in_memory(Passage(text, str(i)) for i, text in enumerate(texts))

    def order(query: str) -> str:
        return "".join(one.source for one, _ in index.search(query, 5))

    # "bread" is in most passages, "percent" in two of the same length but one word: by hand from the formula
    assert order("bread") == "102"
    assert order("tax on wine") == "032"
    assert order("TAXED wine") == "302"
    assert order("percent") == "30"
    assert order("zebra") == ""
    assert index.search("percent", 1)[0][1] == pytest.approx(0.3611, abs=1e-4)
    assert index.search("tax on wine", 1)[0][1] == pytest.approx(1.4516, abs=1e-4)
    assert len(index) == 5


def test_in_large_indexes_common_words_are_not_looked_for() -> None:
    texts = [f"the owl {i}" if i % 3 else f"the hen {i}" for i in range(1_200)]
    index = PassageIndex.in_memory(Passage(text, str(i)) for i, text in enumerate(texts))
    assert [one.source for one, _ in index.search("the owl 600", 5)] == ["600"]
    assert len(index.search("the hens", 1_200)) == 400
    assert len(index.search("the owl", 1_200)) == 1_200  # there is nothing else to go by


def test_equal_passages_keep_their_order() -> None:
    index = PassageIndex.in_memory(Passage("the same words", str(i)) for i in range(50))
    assert [one.source for one, _ in index.search("words", 5)] == ["0", "1", "2", "3", "4"]


@given(st.text())
@example('" OR text:a NEAR(a b) {text} : ^a* -b NOT "')
@example("AND OR NOT NEAR")
@example("text : word")
@example("\0\ud800")
@example("a" * 5000)
@example(" ".join(map(str, range(500))))
@settings(deadline=None)
def test_no_query_is_more_than_words(query: str) -> None:
    index = PassageIndex.in_memory([Passage("text and or not near"), Passage("é à ü")])
    if words_of(query):
        index.search(query, 3)
    else:
        with pytest.raises(ToolError, match="no words to search for"):
            index.search(query, 3)


def test_accents_case_and_forms() -> None:
    index = PassageIndex.in_memory([Passage("Café Zürich"), Passage("running cafe\u0301s"), Passage("ﬁne")])
    assert len(index.search("CAFE", 5)) == 2
    assert len(index.search("zurich", 5)) == 1
    assert len(index.search("runs", 5)) == 1


def make(folder: Path) -> Path:
    root = folder / "docs"
    (root / "guide").mkdir(parents=True)
    (root / "guide" / "install.md").write_text(
        "# Install\n\nRun pip to install the package.\n\n# Remove\n\nRun pip uninstall.\n"
    )
    (root / "prices.txt").write_text("The price of bread is 3 euros.\n")
    rows = [{"title": "Owl", "text": "A bird of the night", "year": 1990}, {"title": "Ant", "tags": ["é"]}]
    (root / "animals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "not json\n")
    return root


async def test_documents_are_found_with_their_place(tmp_path: Path) -> None:
    tool = documents_tool(make(tmp_path))
    assert (tool.name, tool.effect, tool.trusted, tool.text_argument) == (
        "search_documents",
        "pure",
        False,
        "query",
    )
    assert tool.description.startswith("Searches 3 documents (5 passages) by keywords and returns the best 4")
    assert await ask(tool, "bread price") == "[1] prices.txt, line 1\nThe price of bread is 3 euros."
    assert await ask(tool, "night bird") == (
        "[1] animals.jsonl, line 1\ntitle: Owl\ntext: A bird of the night\nyear: 1990"
    )
    assert await ask(tool, "é") == '[1] animals.jsonl, line 2\ntitle: Ant\ntags: ["é"]'
    found = await ask(tool, "uninstall")
    assert found.startswith("[1] guide/install.md, lines 1-7\n# Install\n\nRun pip to install")
    assert await ask(tool, "zebra") == "No passage has any of these words."
    with pytest.raises(ToolError, match="no words to search for"):
        await ask(tool, "?!")
    with pytest.raises(ToolError, match="its argument 'query'"):
        await ask(tool, "")
    assert await asyncio.gather(*(ask(tool, "bread") for _ in range(20)))


async def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    root = make(tmp_path)
    secret = tmp_path / "secret.txt"
    secret.write_text("the password is swordfish")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "more.txt").write_text("swordfish again")
    (root / "link.txt").symlink_to(secret)
    (root / "dangling.txt").symlink_to(tmp_path / "nowhere")
    (root / "folder").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    (root / ".env").write_text("KEY=swordfish")
    (root / ".git").mkdir()
    (root / ".git" / "config").write_text("swordfish")
    (root / "picture.png").write_bytes(b"\x89PNG\0swordfish")
    (root / "latin.txt").write_bytes("Zürich swordfish".encode("latin-1"))
    with (root / "huge.txt").open("wb") as file:
        file.write(b"swordfish\n" * 1_000_001)
    os.mkfifo(root / "pipe")
    tool = documents_tool(root)
    assert (
        "(8 files were left out: 4 a link, 1 larger than 10 MB, 1 no file, 1 not UTF-8, 1 not text)"
        in tool.description
    )
    assert await ask(tool, "swordfish") == "No passage has any of these words."


async def test_links_that_the_operator_names_are_followed(tmp_path: Path) -> None:
    root = make(tmp_path)
    (tmp_path / "short").symlink_to(root)
    assert "bread" in await ask(documents_tool(str(tmp_path / "short")), "bread")
    both = documents_tool([root, tmp_path / "docs" / "prices.txt"], name="look", top=9)
    assert both.name == "look"
    assert re.findall(r"\] (\S+),", await ask(both, "bread")) == ["docs/prices.txt", "prices.txt"]


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no file or folder"):
        documents_tool(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="there is no text to search"):
        documents_tool(tmp_path / "empty")
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7\0")
    with pytest.raises(UserError, match="it is not text; convert it to text"):
        documents_tool(tmp_path / "paper.pdf")
    with pytest.raises(UserError, match=r"no text to search in .* \(1 files were left out: 1 not text\)"):
        documents_tool(tmp_path)
    with pytest.raises(UserError, match="top=1 or more"):
        documents_tool(tmp_path, top=0)


def test_the_version_is_that_of_the_content(tmp_path: Path) -> None:
    root = make(tmp_path)
    first = documents_tool(root).version
    assert documents_tool(root).version == first
    assert documents_tool(root, top=2).version != first
    (root / "prices.txt").write_text("The price of bread is 4 euros.\n")
    changed = documents_tool(root).version
    assert changed != first
    (root / "prices.txt").rename(root / "costs.txt")
    assert documents_tool(root).version not in (first, changed)


async def test_an_index_in_a_file_is_kept_and_renewed(tmp_path: Path) -> None:
    root, index = make(tmp_path), tmp_path / "docs" / "index.db"
    first = documents_tool(root, index=index)
    assert first.version == documents_tool(root).version
    made = index.stat().st_mtime_ns
    again = documents_tool(root, index=index)
    assert index.stat().st_mtime_ns == made
    assert await ask(again, "bread") == await ask(first, "bread")
    (root / "prices.txt").write_text("The price of bread is 4 euros.\n")
    renewed = documents_tool(root, index=index)
    assert "4 euros" in await ask(renewed, "bread")
    assert "3 euros" in await ask(first, "bread")  # as it was when it was made
    assert [path.name for path in root.iterdir() if "part" in path.name] == []


def test_a_file_of_somebody_elses_is_not_overwritten(tmp_path: Path) -> None:
    root, other = make(tmp_path), tmp_path / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("create table precious (x)")
    connection.close()
    content = other.read_bytes()
    with pytest.raises(UserError, match="is not an index of documents; name another file"):
        documents_tool(root, index=other)
    assert other.read_bytes() == content
    notes = tmp_path / "notes.txt"
    notes.write_text("precious " * 1000)
    with pytest.raises(UserError, match="is not an index of documents"):
        documents_tool(root, index=notes)
    with pytest.raises(UserError, match="cannot write the index"):
        documents_tool(root, index=tmp_path / "no" / "folder" / "index.db")


def test_a_damaged_index_is_said(tmp_path: Path) -> None:
    root, index = make(tmp_path), tmp_path / "index.db"
    documents_tool(root, index=index)
    index.write_bytes(index.read_bytes()[:100] + b"x" * 5000)
    with pytest.raises(UserError, match="is not an index of documents"):
        documents_tool(root, index=index)


_LINES = st.lists(
    st.one_of(st.just(""), st.text(st.sampled_from("ab #.é\t"), max_size=300), st.text("x", max_size=2000)),
    max_size=60,
)


@given(_LINES)
@settings(deadline=None)
def test_passages_hold_every_word_in_its_lines(lines: list[str]) -> None:
    passages = list(cut("a.md", "\n".join(lines)))
    covered: set[int] = set()
    for one in passages:
        assert 0 < len(one.text) <= LENGTH + 2 * len(lines)
        assert 1 <= one.first <= one.last <= len(lines)
        covered |= set(range(one.first, one.last + 1))
        within = "".join("".join(lines[one.first - 1 : one.last]).split())
        assert "".join(one.text.split()) in within
    assert {i for i, line in enumerate(lines, start=1) if line.strip()} <= covered
    assert [one.first for one in passages] == sorted(one.first for one in passages)


def test_long_paragraphs_overlap_and_headings_stay_with_their_text() -> None:
    sentences = [f"Sentence {i} says that the number is {i * 7}." for i in range(60)]
    passages = list(cut("a.txt", "\n".join(sentences)))
    assert len(passages) > 2
    for before, after in pairwise(passages):
        assert after.first == before.last  # one line is in both
        assert len(after.text.split("\n")[0]) <= OVERLAP
    text = "x" * 700 + "\n\n# Heading\n\n" + "y" * 200
    assert [one.text[:9] for one in cut("a.md", text)] == ["xxxxxxxxx", "# Heading"]


async def test_replies_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("word " * 200_000)
    reply = await ask(documents_tool(tmp_path, top=3), "word")
    assert len(reply) < 3 * (LENGTH + 50)


def test_questions_of_a_real_set_are_found_by_their_own_words(real: list[dict[str, Any]]) -> None:
    index = PassageIndex.in_memory(Passage(row["question"], str(i)) for i, row in enumerate(real))
    first = [index.search(row["question"], 1)[0][0].source for row in real[:200]]
    assert sum(place == str(i) for i, place in enumerate(first)) >= 198


@pytest.fixture(scope="module")
def real() -> list[dict[str, Any]]:
    folder = os.environ.get("THOUGHTGRAPH_DATA", "")
    path = Path(folder, "gsm8k_train_1000.jsonl")
    if not folder or not path.is_file():
        pytest.skip("THOUGHTGRAPH_DATA names no folder with gsm8k_train_1000.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]
