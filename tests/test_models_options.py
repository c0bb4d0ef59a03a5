"""Options in a model's name: each is read as its type wants it, and what is no value of it is refused in one line that says what would be."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pytest

from thoughtgraph.agents.models import registry
from thoughtgraph.agents.models.base import Limits, Price, knows_price
from thoughtgraph.agents.models.options import Options, check_above, check_least
from thoughtgraph.agents.models.registry import load_model, load_scorer
from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.assembly import assemble
from thoughtgraph.tasks.settings import Settings

from .scoring_world import save_model


class Made:
    """A model that only remembers what it was made of."""

    def __init__(
        self,
        name: str,
        *,
        yes: bool = False,
        maybe: bool | None = None,
        count: int = 1,
        seconds: float = 1.0,
        word: str | None = None,
        words: str | Iterable[str] = (),
        folder: str | Path | None = None,
        kind: Literal["a", "b"] | None = None,
        price: Price | None = None,
        thing: object = None,
    ) -> None: ...


class Open(Made):
    def __init__(self, name: str, *, yes: bool = False, **others: Any) -> None: ...


KNOWN, OPEN = Options.of("made", Made), Options.of("made", Open)

READ: list[tuple[str, str, Any]] = [
    ("yes", "true", True),
    ("yes", "false", False),
    ("maybe", "true", True),
    ("count", "7", 7),
    ("count", "-7", -7),
    ("seconds", "7", 7.0),
    ("seconds", "1e-3", 0.001),
    ("seconds", ".5", 0.5),
    ("word", "5", "5"),
    ("word", "007", "007"),
    ("word", "1.10", "1.10"),
    ("word", "true", "true"),
    ("words", "3", "3"),
    ("folder", "1.10", "1.10"),
    ("kind", "a", "a"),
    ("price", "3,15", Price(3.0, 15.0)),
    ("price", "0.25,1", Price(0.25, 1.0)),
    ("price", "0,0", Price()),
]

TRUTH, WHOLE, NUMBER = "true or false", "a whole number", "a number"
PRICE = "IN,OUT: dollars per million prompt and completion tokens, such as 3,15"
REFUSED = [
    ("yes", "no", TRUTH),
    ("yes", "1", TRUTH),
    ("yes", "True", TRUTH),
    ("maybe", "maybe", TRUTH),
    ("count", "1.5", WHOLE),
    ("count", "many", WHOLE),
    ("count", "1_000", WHOLE),
    ("count", "true", WHOLE),
    ("seconds", "abc", NUMBER),
    ("seconds", "nan", NUMBER),
    ("seconds", "inf", NUMBER),
    ("seconds", "1,5", NUMBER),
    ("kind", "c", "a or b"),
    ("price", "3", PRICE),
    ("price", "3,15,1", PRICE),
    ("price", "3,-1", PRICE),
    ("price", "nan,1", PRICE),
    ("price", "cheap", PRICE),
]


@pytest.mark.parametrize(("name", "text", "value"), READ)
def test_a_text_is_read_by_the_type_of_its_option(name: str, text: str, value: Any) -> None:
    read = KNOWN.read([(name, text)])[name]
    assert (type(read), read) == (type(value), value)


@pytest.mark.parametrize(("name", "text", "what"), REFUSED)
def test_a_text_that_is_no_value_is_refused_with_what_would_be(name: str, text: str, what: str) -> None:
    with pytest.raises(UserError) as no:
        KNOWN.read([(name, text)])
    assert str(no.value) == f"option {name} of made models is {what}, not {text!r}"


def test_an_option_has_one_value_unless_it_may_have_several() -> None:
    assert KNOWN.read([("words", "a"), ("words", "5")]) == {"words": ("a", "5")}
    with pytest.raises(UserError, match=r"^option yes of made models is given 2 times; give it once$"):
        KNOWN.read([("yes", "true"), ("yes", "false")])
    with pytest.raises(UserError, match=r"^option word of made models has no value; write word=VALUE"):
        KNOWN.read([("word", "")])


def test_what_no_text_can_say_is_no_option_in_a_spec() -> None:
    with pytest.raises(UnknownNameError, match="unknown option 'thing' of made models") as no:
        KNOWN.read([("thing", "x")])
    assert "; choose one of: count, folder, kind, maybe, price, seconds, word, words, yes" in str(no.value)
    KNOWN.check(["thing"])  # as an object, in Python


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("8", 8),
        ("0.90", 0.9),
        ("007", "007"),
        ("nan", "nan"),
        ("1_0", "1_0"),
        ("auto", "auto"),
        ("9" * 30, "9" * 30),
    ],
)
def test_options_of_a_library_below_are_guessed(text: str, value: Any) -> None:
    read = OPEN.read([("whatever", text)])["whatever"]
    assert (type(read), read) == (type(value), value)
    with pytest.raises(UserError, match="option yes of made models is true or false"):
        OPEN.read([("yes", text if text != "true" else "yes")])


SPECS = [
    ("completions=no", "option completions of openai models is true or false, not 'no'"),
    (
        "completions=true&completions=false",
        "option completions of openai models is given 2 times; give it once",
    ),
    ("timeout=-1", "impossible timeout=-1; give a number above 0"),
    ("timeout=nan", "option timeout of openai models is a number, not 'nan'"),
    ("timeout=abc", "option timeout of openai models is a number, not 'abc'"),
    ("connect_timeout=0", "impossible connect_timeout=0; give a number above 0"),
    ("wait=x", "option wait of openai models is a number, not 'x'"),
    ("wait=-1", "impossible wait=-1; give 0 or more"),
    ("max_wait=-1", "impossible max_wait=-1; give 0 or more"),
    ("max_concurrency=0", "impossible max_concurrency=0; give 1 or more"),
    ("max_concurrency=1.5", "option max_concurrency of openai models is a whole number, not '1.5'"),
    ("tries=0", "impossible tries=0; give 1 or more"),
    ("tries=many", "option tries of openai models is a whole number, not 'many'"),
    ("base_url=5", "base_url '5' is no address; write one such as http://localhost:8000/v1"),
    ("price=3", f"option price of openai models is {PRICE}, not '3'"),
]


@pytest.mark.parametrize(("query", "message"), SPECS)
def test_the_options_of_a_served_model_are_checked(query: str, message: str) -> None:
    served = "" if query.startswith("base_url") else "base_url=http://127.0.0.1:9/v1&"
    with pytest.raises(UserError) as no:
        load_model(f"openai:m?{served}{query}")
    assert str(no.value) == message


@pytest.mark.parametrize("query", ["api_key_env=5", "served_as=3", "version=1.10", "version=007"])
def test_texts_stay_texts(query: str) -> None:
    model = load_model(f"openai:m?base_url=http://127.0.0.1:9/v1&{query}")
    name, text = query.split("=")
    assert model.name == (f"openai:m@{text}" if name == "version" else "openai:m")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("batch=x", "option batch of hf models is a whole number, not 'x'"),
        ("batch=0", "impossible batch=0; give 1 or more"),
        ("chat=maybe", "option chat of hf models is true or false, not 'maybe'"),
        ("device=cudaa", "there is no device 'cudaa' here ("),
        ("device=cuda:99", "there is no device 'cuda:99' here ("),
    ],
)
@pytest.mark.parametrize("load", [load_model, load_scorer])
def test_the_options_of_a_model_in_this_process_are_checked(
    load: Any, query: str, message: str, tmp_path: Path
) -> None:
    folder = save_model(tmp_path / "m", "LlamaForCausalLM")
    if load is load_scorer and query.startswith("chat"):
        message = "unknown option 'chat' of hf models"
    with pytest.raises(UserError) as no:
        load(f"hf:{folder}?{query}")
    assert str(no.value).startswith(message)
    assert "\n" not in str(no.value)


def test_a_plus_sign_in_a_path_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    def make(name: str, *, words: str | Iterable[str] = ()) -> object:
        made.append({"name": name, "words": words})
        return object()

    monkeypatch.setattr(registry, "_scorer_class", lambda prefix: make)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    load_scorer("pooling:a+b?words=/c++/d%20e&words=%2B%26")
    assert made == [{"name": "a+b", "words": ("/c++/d e", "+&")}]


@pytest.mark.parametrize("spec", ["hf:there/is-none", "builtin:numbers", "vllm:there/is-none", "replay:run"])
def test_where_a_model_is_served_is_said_of_served_ones_only(spec: str) -> None:
    with pytest.raises(
        UserError, match=r"^--base-url \(base_url\) says where an openai: model is served, and"
    ):
        load_model(spec, replay=lambda run: load_model("builtin:numbers"), base_url="http://127.0.0.1:9/v1")


def test_a_replayed_run_has_no_options() -> None:
    with pytest.raises(UserError, match="replay: models have no options; leave chat out"):
        load_model("replay:run?chat=true", replay=lambda run: load_model("builtin:numbers"))


def test_a_price_can_be_written() -> None:
    model = load_model("openai:m?base_url=http://127.0.0.1:9/v1&price=3,15")
    assert model.price.usd(1_000_000, 1_000_000) == 18.0
    assert knows_price(model)
    assert not knows_price(load_model("openai:m?base_url=http://127.0.0.1:9/v1"))
    assert knows_price(load_model("openai:m?base_url=http://127.0.0.1:9/v1&price=0,0"))


def test_a_shipped_model_takes_options_in_its_name() -> None:
    store = SqlStore.open(":memory:")
    setup = assemble(Settings(model="builtin:numbers?batch=7"), store)
    assert [model.limits for model in setup.models] == [Limits(1, 7), Limits(7)]
    with pytest.raises(UserError, match="there is no device 'cudaa' here"):
        assemble(Settings(model="builtin:numbers?device=cudaa"), store)
    store.close()


def test_bounds() -> None:
    check_least(1, n=1)
    check_above(0, n=float("inf"))
    for check in (check_least, check_above):
        with pytest.raises(UserError, match="impossible n=nan"):
            check(0, n=float("nan"))
    with pytest.raises(UserError, match=r"impossible n=0; give a number above 0"):
        check_above(0, n=0)
