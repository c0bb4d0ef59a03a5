import re

from hypothesis import given
from hypothesis import strategies as st
from view_graphs import HOSTILE

from thoughtgraph.graph.display_text import cells, clean, shorten


def test_clean_leaves_one_harmless_line() -> None:
    assert clean(HOSTILE) == "ared bc de fg [red]h[/red] \ufffd"
    assert clean("\x1b\x1b[31m[31mx \x1b]unterminated") == "[31mx unterminated"


@given(st.text(st.characters(), max_size=200), st.integers(1, 60))
def test_shortened_text_fits_and_prints(text: str, width: int) -> None:
    short = shorten(clean(text), width)
    assert cells(short) <= width
    assert len(short) <= 2 * width
    assert re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\ud800-\udfff]", short) is None


def test_wide_characters_take_two_cells() -> None:
    assert shorten("数学" * 4, 7) == "数学数…"
    assert shorten("e\u0301" * 4, 4) == "e\u0301" * 4
