"""A scoring model behind a pooling server, against a server of our own that gives every position a number of its ids."""

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.models.base import Trace
from thoughtgraph.agents.models.registry import load_scorer
from thoughtgraph.agents.models.scoring.formats import make_format
from thoughtgraph.agents.models.scoring.pooling import PoolingScorer
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
        self.asked: list[tuple[str, dict[str, Any]]] = []

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
        self.pooling.asked.append((self.path, body))
        if body["model"] not in (self.pooling.served, "swapped"):
            self._reply(404, {"error": {"message": f"The model {body['model']!r} does not exist."}})
        elif any(len(ids) > CONTEXT for ids in body["input"]):
            self._reply(400, {"error": {"message": f"maximum context length is {CONTEXT} tokens"}})
        else:
            rows = [self._rows(ids) for ids in body["input"]]
            key = "probs" if self.path == "/classify" else "data"
            data = [{"index": i, key: row} for i, row in enumerate(rows)]
            self._reply(200, {"model": self.pooling.served, "data": data[::-1]})

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
        load_scorer(f"pooling:prm?tokenizer={folder}&format=plus_minus&task=score")
    with pytest.raises(UserError, match="is no address"):
        PoolingScorer("prm", base_url="localhost:8000", tokenizer=str(folder), format="plus_minus")
