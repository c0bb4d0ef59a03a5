"""A scoring model behind a pooling server, against a server of our own that gives every position a number of its ids."""

import asyncio
import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
from tokenizers import Tokenizer

from thoughtgraph import asolve
from thoughtgraph.agents.models.base import Trace
from thoughtgraph.agents.models.probing import probe_scorer
from thoughtgraph.agents.models.registry import load_scorer
from thoughtgraph.agents.models.scoring.formats import make_format
from thoughtgraph.agents.models.scoring.pooling import PoolingScorer
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UnknownNameError, UserError

from .scoring_world import OTHER, QUESTION, STEPS, make_tokenizer, save_model

tokenizer: Any = make_tokenizer()
TRACE = Trace(QUESTION, STEPS)
CONTEXT = 300


def logit(ids: list[int]) -> float:
    """Return a number that depends on all ids."""
    return math.sin(sum((k + 1) * id_ for k, id_ in enumerate(ids)))


def score(name: str, trace: Trace) -> list[float]:
    """Return the scores that a trace should have."""
    encoded = make_format(name, tokenizer).encode(trace.prompt, trace.steps)
    return [1 / (1 + math.exp(-logit(list(encoded.ids[: tag + 1])))) for tag in encoded.tags]


class PoolingServer(ThreadingHTTPServer):
    """Answers like vLLM's pooling server, with the rows of all tokens or of those that are the tag."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tag: int | None = None
        self.served = "prm"
        self.nan = False
        self.refusal: tuple[int, str] | None = None
        """Status and message of every reply to a request for scores; None: it scores."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """Requests for scores, with their paths."""
        self.reads = 200
        """Status of replies to requests to tokenize."""
        self.read: list[str] = []
        """Texts that were to be tokenized."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def pooling(self) -> PoolingServer:
        assert isinstance(self.server, PoolingServer)
        return self.server

    def do_GET(self) -> None:
        self._reply(200, {"data": [{"id": self.pooling.served}]})

    def do_POST(self) -> None:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/tokenize":
            self._tokenize(body)
            return
        self.pooling.asked.append((self.path, body))
        if self.pooling.refusal is not None:
            status, message = self.pooling.refusal
            self._reply(status, {"error": {"message": message}})
        elif body["model"] not in (self.pooling.served, "swapped"):
            self._reply(404, {"error": {"message": f"The model {body['model']!r} does not exist."}})
        elif any(len(ids) > CONTEXT for ids in body["input"]):
            self._reply(400, {"error": {"message": f"maximum context length is {CONTEXT} tokens"}})
        else:
            rows = [self._rows(ids) for ids in body["input"]]
            key = "probs" if self.path == "/classify" else "data"
            data = [{"index": i, key: row} for i, row in enumerate(rows)]
            self._reply(200, {"model": self.pooling.served, "data": data[::-1]})

    def _tokenize(self, body: dict[str, Any]) -> None:
        text, special = body["prompt"], body["add_special_tokens"]
        self.pooling.read.append(text)
        tokens = tokenizer.encode(text, add_special_tokens=special)
        reply = {"tokens": tokens} if self.pooling.reads == 200 else {"error": {"message": "no"}}
        self._reply(self.pooling.reads, reply)

    def _rows(self, ids: list[int]) -> Any:
        if self.path == "/classify":
            return [logit(ids)]
        tag = self.pooling.tag
        at = [i for i, id_ in enumerate(ids) if tag is None or id_ == tag]
        return [[None if self.pooling.nan else logit(ids[: i + 1])] for i in at]

    def _reply(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[PoolingServer]:
    with PoolingServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(path)
    return path


def pooling(
    server: PoolingServer, folder: Path, format_: str = "step", model: str = "prm", **options: Any
) -> Any:
    return PoolingScorer(
        model, base_url=server.url, tokenizer=str(folder), format=format_, tries=1, **options
    )


async def ask(scorer: PoolingScorer, *traces: Trace) -> list[Any]:
    """Score, and close the connections."""
    try:
        return list(await scorer.score(traces))
    finally:
        await scorer.aclose()


@pytest.mark.parametrize("name", ["step", "qwen", "plus_minus", "rlhflow", "skywork"])
@pytest.mark.parametrize("pools", ["ALL", "STEP"])
async def test_rows_of_all_tokens_and_of_the_tag_are_told_apart(
    name: str, pools: str, server: PoolingServer, folder: Path
) -> None:
    server.tag = make_format(name, tokenizer).tag if pools == "STEP" else None
    other = Trace(QUESTION, OTHER, newest=True)
    results = await ask(pooling(server, folder, name), TRACE, Trace(QUESTION, STEPS[:1]), other, TRACE)
    whole = score(name, TRACE)
    assert results == [
        pytest.approx(whole),
        pytest.approx(whole[:1]),
        pytest.approx(score(name, other)[-1:]),
        pytest.approx(whole),
    ]
    [(path, body)] = server.asked  # one request, equal traces and beginnings left out
    assert (path, body["task"], body["use_activation"], len(body["input"])) == (
        "/pooling",
        "token_classify",
        False,
        2,
    )


@pytest.mark.parametrize("name", ["value", "orm"])
async def test_a_state_is_asked_for_by_its_last_token(name: str, server: PoolingServer, folder: Path) -> None:
    newest = Trace(QUESTION, STEPS, newest=True)
    [result] = await ask(pooling(server, folder, name), newest)
    assert result == pytest.approx(score(name, newest)[-1:])
    [(path, body)] = server.asked
    assert path == "/classify"
    assert len(body["input"]) == 1
    if name == "value":
        [each, again] = await ask(pooling(server, folder, name), TRACE, newest)
        assert each == pytest.approx(score(name, TRACE))
        assert again == each[-1:]
        assert len(server.asked[-1][1]["input"]) == 3


async def test_a_trace_that_is_refused_fails_alone(server: PoolingServer, folder: Path) -> None:
    long = Trace(QUESTION, STEPS * 10)
    results = await ask(pooling(server, folder), TRACE, long, Trace(QUESTION, OTHER))
    assert results[0] == pytest.approx(score("step", TRACE))  # though the long trace begins with it
    assert isinstance(results[1], ModelError)
    assert "context" in str(results[1])
    assert results[2] == pytest.approx(score("step", Trace(QUESTION, OTHER)))


async def test_what_is_no_number_is_an_error(server: PoolingServer, folder: Path) -> None:
    server.nan = True
    [result] = await ask(pooling(server, folder), TRACE)
    assert isinstance(result, ModelError)
    assert "not a number" in str(result)


async def test_rows_that_do_not_fit_say_what_may_be_wrong(server: PoolingServer, folder: Path) -> None:
    server.tag = tokenizer.get_vocab()["<extra_0>"]
    [result] = await ask(pooling(server, folder), TRACE)
    assert isinstance(result, ModelError)
    assert "the tokenizer does not fit the served model" in str(result)


async def test_an_unknown_and_a_swapped_model_stop_the_run(server: PoolingServer, folder: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="no model 'absent', but prm"):
        await ask(pooling(server, folder, model="absent"), TRACE)
    with pytest.raises(ModelUnavailableError, match="asked for 'swapped' and answered as 'prm'"):
        await ask(pooling(server, folder, model="swapped"), TRACE)


@pytest.mark.parametrize("status", [501, 400])  # newer servers, and older ones
async def test_a_server_started_for_another_task_stops_the_run_at_the_first_try(
    status: int, server: PoolingServer, folder: Path
) -> None:
    server.refusal = (status, "The model does not support Classification API")
    scorer = PoolingScorer("prm", base_url=server.url, tokenizer=str(folder), format="step", task="classify")
    with pytest.raises(ModelUnavailableError, match=r"API.*; start the server for what is asked of it") as no:
        await ask(scorer, TRACE, Trace(QUESTION, OTHER))
    assert "\n" not in str(no.value)
    assert len(server.asked) == 1


async def test_a_server_that_is_not_there_stops_the_run(server: PoolingServer, folder: Path) -> None:
    with PoolingServer() as gone:
        scorer = PoolingScorer("prm", base_url=gone.url, tokenizer=str(folder), format="step", tries=1)
    with pytest.raises(ModelUnavailableError, match="cannot be reached"):
        await ask(scorer, TRACE)


async def test_a_spec_names_everything(server: PoolingServer, tmp_path: Path) -> None:
    folder = save_model(tmp_path / "prm", "LlamaForTokenClassification")
    scorer: Any = load_scorer(f"pooling:prm?base_url={server.url}/v1&tokenizer={folder}&task=classify")
    assert scorer.name == "pooling:prm"  # the format step, by the architecture beside the tokenizer
    [result] = await ask(scorer, Trace(QUESTION, STEPS, newest=True))
    assert result == pytest.approx(score("step", TRACE)[-1:])
    assert server.asked[0][0] == "/classify"
    marked: Any = load_scorer(f"pooling:prm?tokenizer={folder}&format=plus_minus&step_tag=%23")
    assert marked.name == "pooling:prm/plus_minus('#','+','-')"


def test_bad_options_are_told(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "policy", "LlamaForCausalLM")
    with pytest.raises(UserError, match="LlamaForCausalLM, which does not tell how it reads traces"):
        PoolingScorer("prm", tokenizer=str(folder))
    with pytest.raises(UnknownNameError, match="unknown task"):
        PoolingScorer("prm", tokenizer=str(folder), format="plus_minus", task=cast("Any", "score"))
    with pytest.raises(
        UserError, match="option task of pooling models is token_classify or classify, not 'score'"
    ):
        load_scorer(f"pooling:prm?tokenizer={folder}&format=plus_minus&task=score")
    with pytest.raises(UserError, match="is no address"):
        PoolingScorer("prm", base_url="localhost:8000", tokenizer=str(folder), format="plus_minus")


def test_what_is_no_place_of_a_tokenizer_is_told_without_asking_the_hub(tmp_path: Path) -> None:
    give = r"; give \?tokenizer=FOLDER or OWNER/NAME$"
    with pytest.raises(UserError, match="^pooling:prm: its name does not tell its tokenizer" + give):
        load_scorer("pooling:prm")
    for nowhere in ("/nope", str(tmp_path / "nope"), "./nope", "nope"):
        with pytest.raises(UserError, match=f"there is no tokenizer at '{nowhere}'{give}"):
            load_scorer(f"pooling:prm?tokenizer={nowhere}")


def test_a_key_that_cannot_be_one_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRM_KEY", "ключ")
    with pytest.raises(UserError, match="the key in PRM_KEY has characters that no key has"):
        PoolingScorer("prm", tokenizer=str(folder), format="step", api_key_env="PRM_KEY")


async def test_a_scorer_of_whole_solutions_is_refused_where_steps_are_compared(folder: Path) -> None:
    scorer = f"pooling:prm?tokenizer={folder}&format=orm"
    with pytest.raises(UserError, match="needs scores of steps, and pooling:prm/orm scores finished"):
        await asolve(
            "What?", task="text", scheme="beam", model=ScriptedModel(["a"]), scorer=scorer, db=":memory:"
        )


def swapped(one: str, other: str) -> Any:
    """Return the tokenizer with the ids of two tokens swapped."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = state["model"]["vocab"]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    return type(tokenizer)(tokenizer_object=Tokenizer.from_str(json.dumps(state)), eos_token="<eos>")


@pytest.mark.parametrize(("one", "other"), [("3", "7"), ("a", "Z"), ("+", "-"), ("Ċ", "Ġ")])
async def test_another_tokenizer_than_the_served_models_stops_the_run(
    one: str, other: str, server: PoolingServer, tmp_path: Path
) -> None:
    swapped(one, other).save_pretrained(tmp_path)
    with pytest.raises(ModelUnavailableError) as no:
        await ask(pooling(server, tmp_path), TRACE)
    told = str(no.value)
    assert f"the tokenizer {str(tmp_path)!r} is not that of the served model: it writes " in told
    assert f"and {server.url} as " in told
    assert told.endswith("; give the served model's own as ?tokenizer=FOLDER or OWNER/NAME")
    assert "\n" not in told
    assert server.asked == []  # nothing was scored


async def test_a_servers_tokenizer_is_compared_once(server: PoolingServer, folder: Path) -> None:
    scorer = pooling(server, folder)
    await asyncio.gather(scorer.score([TRACE]), scorer.score([Trace(QUESTION, OTHER)]))
    await ask(scorer, TRACE)
    [text] = server.read
    assert {*"09azAZ+*=(\n"} < {*text}
    assert "<|step|>" in text
    assert len(tokenizer.encode(text)) < 256
    assert scorer.compared == {server.url: True}
    found = [finding async for finding in probe_scorer(scorer)]
    await scorer.aclose()
    assert [(f.name, f.status) for f in found if f.name == "tokenizer"] == [("tokenizer", "ok")]


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_that_does_not_tell_is_noted_by_the_doctor_alone(
    status: int, server: PoolingServer, folder: Path
) -> None:
    server.reads = status
    scorer = pooling(server, folder)
    found = [finding async for finding in probe_scorer(scorer)]
    await scorer.aclose()
    assert len(server.read) == 1
    [note] = [finding for finding in found if finding.name == "tokenizer"]
    assert note.status == "note"
    assert "could not be compared" in note.detail
    assert "problem" not in {finding.status for finding in found}


async def test_a_server_that_cannot_tell_now_is_asked_again(server: PoolingServer, folder: Path) -> None:
    server.reads = 503
    scorer = pooling(server, folder)
    await scorer.score([TRACE])
    server.reads = 200
    await ask(scorer, TRACE)
    assert len(server.read) == 2
    assert scorer.compared == {server.url: True}
