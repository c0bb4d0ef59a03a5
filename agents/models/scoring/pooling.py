"""A scoring model behind a vLLM pooling server, asked with token ids: the same formats, and the same reading, as in this process.

    scorer = PoolingScorer("prm", base_url="http://localhost:8000", tokenizer="path/to/prm")

Two ways to ask, one per server (`--pooler-config '{"task": …}'`):

    token_classify   POST /pooling: the numbers of a whole trace at once; each request reads the whole trace anew
    classify         POST /classify: the number at the last token of what is sent, so one state a number; the server's prefix cache holds the rest

In both, numbers come without activation, and `reading.probability` makes scores of them. With token_classify a server that pools ALL tokens sends a row
for each, and one that pools the STEP tag sends a row for each tag: which of the two it is shows by the number of rows.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

import orjson

from ....graph.errors import ModelError, ModelUnavailableError, UnknownNameError, UserError
from ....graph.ids import address
from ..base import Limits, ScoreKind, Trace
from ..inprocess.loading import load_tokenizer, may_be_on_hub
from ..options import check_least
from ..remote.attempts import Patience
from ..remote.client import Client, ClientSettings
from ..remote.faults import Action, Fault, error_fault
from ..remote.request import Dialect
from ..remote.target import read_key, read_target
from .comparing import Comparison
from .formats import TraceFormat, format_of, make_format
from .heads import architecture_of, read_config
from .reading import Batch
from .trace_encoding import EncodedTrace

Task = Literal["token_classify", "classify"]
Rows = list[list[float]]
"""Raw outputs, a row a position."""
PATHS: dict[Task, str] = {"token_classify": "/pooling", "classify": "/classify"}
_ROW_BYTES = 64
"""That a row takes in a reply at most: two numbers of full precision."""


class PoolingScorer:
    """A model behind vLLM pooling servers as a `ScoringModel`.

    Args:
        model: the server's name for it.
        base_url: of the server, such as `http://localhost:8000`, with or without `/v1`; or several that serve the same.
        tokenizer: the served model's own, a folder or OWNER/NAME on the hub; by default the model's name.
        format: how it reads traces, one of `formats.FORMATS`; `auto` goes by the architecture in the configuration beside the tokenizer.
        task: what the server was started for; by default `classify` for the formats orm and value, and `token_classify` for the others.
        step_tag: mark after a step, of the format plus_minus.
        good: answer for a right step, of the formats plus_minus and rlhflow.
        bad: answer for a wrong one.
        api_key_env: environment variable that holds the server's key, if it wants one.
        batch: traces of one request at most (≥ 1).
        max_concurrency: requests at the same time (≥ 1).
        timeout: seconds for one request.
        tries: times a request is made at most (≥ 1).
        version: identity beyond the name, for instance of the checkpoint behind a served name. The URL is no part of it.

    Raises:
        UnknownNameError: if there is no such format or task.
        UserError: if transformers is not installed, there is no tokenizer, the URL is none, the key cannot be one, the format cannot be told, or the
            tokenizer lacks a token of it.
        ModelUnavailableError: if the tokenizer cannot be loaded.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Iterable[str] = "http://localhost:8000",
        tokenizer: str | None = None,
        format: str = "auto",
        task: Task | None = None,
        step_tag: str | None = None,
        good: str | None = None,
        bad: str | None = None,
        api_key_env: str = "VLLM_API_KEY",
        batch: int = 64,
        max_concurrency: int = 16,
        timeout: float = 120.0,
        tries: int = 5,
        version: str | None = None,
    ) -> None:
        if importlib.util.find_spec("transformers") is None:
            raise UserError(f"pooling:{model} needs transformers; pip install 'thoughtgraph[local]'")
        if task is not None and task not in get_args(Task):
            raise UnknownNameError("task of a pooling server", task, get_args(Task))
        urls = [base_url] if isinstance(base_url, str) else list(base_url)
        source = _tokenizer_source(model, tokenizer)
        loaded = load_tokenizer(source)
        self._format = make_format(
            _found(source) if format == "auto" else format,
            loaded,
            step_tag=step_tag,
            good=good,
            bad=bad,
        )
        check_least(1, batch=batch, max_concurrency=max_concurrency)
        self._model, self._batch, self._concurrency = model, batch, max_concurrency
        self._task: Task = task or ("classify" if self._format.name in ("orm", "value") else "token_classify")
        self._name = f"pooling:{model}" + (f"@{version}" if version else "")
        self._name += "" if self._format.name == "step" else f"/{self._format.name}"
        self._settings = ClientSettings(
            tuple(read_target(url.rstrip("/").removesuffix("/v1")) for url in urls),
            key=read_key(api_key_env),
            concurrency=self._concurrency,
            timeout=timeout,
            connect_timeout=10.0,
            patience=Patience(tries),
            max_wait=60.0,
            served_as=(),
            address="base_url in its name",
        )
        self._comparison = Comparison(self._name, model, source, loaded, self._format)
        self._open: tuple[asyncio.AbstractEventLoop, Client] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def kind(self) -> ScoreKind:
        """What its numbers mean."""
        return self._format.kind

    @property
    def limits(self) -> Limits:
        return Limits(batch=self._batch, concurrency=self._concurrency)

    @property
    def compared(self) -> Mapping[str, bool]:
        """For each server asked so far, by URL, whether it told how it reads text, so that it could be compared with the tokenizer here."""
        return self._comparison.told

    async def reach(self) -> None:
        """Find out without a call whether a server is there; raises ModelUnavailableError at once if none is."""
        await self._connected().reach()

    async def aclose(self) -> None:
        """Close the connections."""
        opened, self._open = self._open, None
        if opened is not None and opened[0] is asyncio.get_running_loop():
            await opened[1].aclose()

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        """Score the traces in one request; what the server refuses is asked for again in parts, so that a bad trace fails alone.

        Raises:
            ModelUnavailableError: if the server cannot be reached, wants a key, reads text with another tokenizer, or has no such model: the message
                names those it has.
        """
        batch = Batch(self._name, self._format, traces)
        while work := batch.states if self._task == "classify" else batch.longest:
            for trace, rows in zip(work, await self._ask(work), strict=True):
                batch.read(trace, rows)
        return batch.results()

    async def _ask(self, work: Sequence[EncodedTrace]) -> list[Rows | ModelError]:
        """Return the rows at each trace's positions; of a request that is refused, each half is asked for by itself."""
        try:
            answered = await self._post(work)
        except ModelUnavailableError:
            raise
        except ModelError as error:
            fault = error.__cause__
            if len(work) > 1 and isinstance(fault, Fault) and fault.action is Action.FAIL_CALL:
                middle = len(work) // 2
                return [*await self._ask(work[:middle]), *await self._ask(work[middle:])]
            return [error] * len(work)
        if self._task == "classify":
            return list(answered)
        return [rows_at(self._name, self._format, *pair) for pair in zip(work, answered, strict=True)]

    async def _post(self, work: Sequence[EncodedTrace]) -> list[Rows]:
        body = write_request(self._model, self._task, work)
        most = _ROW_BYTES * sum(len(trace.ids) for trace in work)
        return await self._connected().post(
            _Request(body),
            PATHS[self._task],
            body,
            lambda reply: read_reply(reply, self._task, len(work)),
            most,
            self._comparison.greet,
        )

    def _connected(self) -> Client:
        """Return the client of this event loop; connections of a loop that is gone cannot be used."""
        loop = asyncio.get_running_loop()
        if self._open is None or self._open[0] is not loop:
            dialect = Dialect(self._model, completions=True, continues=False)
            self._open = loop, Client(self._name, dialect, self._settings)
        return self._open[1]


@dataclass(frozen=True, slots=True)
class _Request:
    body: bytes
    route: str = ""

    def id(self, model: str) -> str:
        """See `Asked.id`."""
        return address("scores", model, self.body.decode())


def _tokenizer_source(model: str, tokenizer: str | None) -> str:
    """Return the folder, or the name on the hub, of the tokenizer; by default those of the model."""
    source = tokenizer or model
    folder = Path(source).expanduser()
    if folder.is_dir():
        return str(folder)
    if not may_be_on_hub(source):
        what = (
            f"there is no tokenizer at {tokenizer!r}" if tokenizer else "its name does not tell its tokenizer"
        )
        raise UserError(f"pooling:{model}: {what}; give ?tokenizer=FOLDER or OWNER/NAME")
    return source


def _found(source: str) -> str:
    architecture = architecture_of(read_config(source))
    name = format_of(architecture)
    if name is None:
        raise UserError(
            f"{source!r} is a {architecture}, which does not tell how it reads traces; give ?format=NAME"
        )
    return name


def write_request(model: str, task: Task, traces: Sequence[EncodedTrace]) -> bytes:
    """Return the body of a request for the numbers of these traces."""
    body = {"model": model, "input": [trace.ids for trace in traces], "use_activation": False}
    return orjson.dumps(body | ({"task": task} if task == "token_classify" else {}))


def read_reply(body: bytes, task: Task, count: int) -> tuple[str | None, list[Rows]]:
    """Return the served model's name, and the rows of each trace, in the order in which they were sent.

    A number that JSON cannot write, which servers send as null, is NaN here.

    Raises:
        Fault: if it is not a whole reply for `count` traces.
    """
    try:
        value: Any = orjson.loads(body)
    except ValueError as error:
        raise Fault("malformed", f"the reply is not JSON or was cut off: {body[:60]!r}") from error
    reply = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if reply.get("error"):
        raise error_fault(reply["error"])
    try:
        items = {int(item["index"]): item for item in reply["data"]}
        rows = [[items[i]["probs"]] if task == "classify" else items[i]["data"] for i in range(count)]
        numbers = [[[math.nan if x is None else float(x) for x in row] for row in one] for one in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise Fault("malformed", f"the reply has no list of scores for each trace: {error!r}") from error
    return (None if reply.get("model") is None else str(reply["model"])), numbers


def rows_at(name: str, format: TraceFormat, trace: EncodedTrace, rows: Rows) -> Rows | ModelError:
    """Return the rows at the positions of a trace, from one row a token or one row a step tag.

    Args:
        name: of the scoring model, for messages.
        format: its format, which knows the tag.
        trace: what was sent.
        rows: what `/pooling` gave for it.
    """
    if len(rows) == len(trace.ids):
        return [rows[tag] for tag in trace.tags]
    tagged = {at: k for k, at in enumerate(i for i, id_ in enumerate(trace.ids) if id_ == format.tag)}
    if tagged and len(rows) == len(tagged):
        return [rows[tagged[tag]] for tag in trace.tags]
    pooler = f"step_tag_id {format.tag}" if format.tag is not None else "tok_pooling_type ALL"
    return ModelError(
        f"{name} gave {len(rows)} rows for {len(trace.ids)} tokens with {len(trace.tags)} scores: the tokenizer does not fit the served model, "
        f"or the server pools other tokens; serve it with {pooler} for the format {format.name}"
    )
