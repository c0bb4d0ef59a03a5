import asyncio
import contextlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sampling
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError

Reply = tuple[int, dict[str, str], str | bytes]
Behaviour = Callable[[dict[str, Any]], Reply]


class Server:
    """A real HTTP server: each request is answered by the next behaviour, the last one for ever."""

    def __init__(self) -> None:
        self.behaviours: list[Behaviour] = []
        self.asked: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.asked.append(body)
            self.paths.append(path)
            behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        return behaviour(body)

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, headers, reply = server.answer(self.path, body)
                data = reply.encode() if isinstance(reply, str) else reply
                self.send_response(status)
                headers = {"content-type": "application/json", "content-length": str(len(data))} | headers
                for key, value in headers.items():
                    self.send_header(key, value)
                self.end_headers()
                with contextlib.suppress(OSError):  # the client gave up waiting
                    self.wfile.write(data)
                self.close_connection = True

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.stop()


@pytest.fixture
async def connect(server: Server) -> AsyncIterator[Callable[..., OpenAIModel]]:
    opened: list[OpenAIModel] = []

    def make(**options: Any) -> OpenAIModel:
        defaults: dict[str, Any] = {"base_url": server.url, "wait": 0.001, "timeout": 5.0}
        opened.append(OpenAIModel("m", **defaults | options))
        return opened[-1]

    yield make
    for model in opened:
        await model.aclose()


def choice(
    text: str | None = "hi", index: int = 0, finish: str | None = "stop", **more: Any
) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {"index": index, "message": message, "finish_reason": finish, **more}


def ok(*choices: dict[str, Any], usage: Any = (7, 3), **more: Any) -> Reply:
    body: dict[str, Any] = {"id": "x", "object": "chat.completion", "choices": list(choices), **more}
    if usage is not None:
        body["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}
    return 200, {}, json.dumps(body)


def always(*choices: dict[str, Any]) -> Behaviour:
    return lambda _: ok(*choices)


def good(body: dict[str, Any]) -> Reply:
    return ok(*(choice(f"hi {i}", i) for i in range(body.get("n", 1))))


def error(status: int, message: str, code: str | None = None, **headers: str) -> Behaviour:
    return lambda _: (status, headers, json.dumps({"error": {"message": message, "code": code}}))


def raw(body: str | bytes, **headers: str) -> Behaviour:
    return lambda _: (200, headers, body)


USER = (Message("user", "hello"),)


def call(n: int = 1, prompt: Any = USER, **sampling: Any) -> GenerationCall:
    parameters: dict[str, Any] = {"max_tokens": 9}
    return GenerationCall(prompt, Sampling(**parameters | sampling), n=n, seed=4)


async def answer(model: OpenAIModel, asked: GenerationCall) -> Generation:
    [result] = await model.generate([asked])
    assert isinstance(result, Generation), result
    return result


async def test_a_chat_is_asked_and_answered(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    server.behaviours = [good]
    model = connect()
    result = await answer(model, call(n=3, top_p=0.9, stop=("\n",), temperature=0.5))
    assert [s.text for s in result.samples] == ["hi 0", "hi 1", "hi 2"]
    assert (result.prompt_tokens, result.completion_tokens) == (7, 3)
    [asked] = server.asked
    seed = asked.pop("seed")
    assert 0 <= seed < 2**31
    assert asked == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "n": 3,
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 9,
        "stop": ["\n"],
        "logprobs": True,
        "return_token_ids": True,
    }
    assert server.paths == ["/v1/chat/completions"]
    assert (model.name, model.chat, model.limits.batch, model.limits.concurrency) == ("openai:m", True, 1, 32)


async def test_text_is_completed_raw(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    report = {"tokens": ["4", " * 6", "\n"], "token_logprobs": [-0.5, -0.25, -1.0]}
    text = {"index": 0, "text": "4 * 6", "finish_reason": "stop", "stop_reason": "\n", "logprobs": report}
    server.behaviours = [lambda _: ok(text)]
    model = connect(completions=True)
    [sample] = (await answer(model, call(prompt="24 = "))).samples
    assert (sample.text, sample.finish, sample.tokens) == ("4 * 6", "stop", 3)
    assert sample.logprobs == (-0.5, -0.25, -1.0)
    assert sample.pieces == ("4", " * 6", "\n")
    assert server.paths == ["/v1/completions"]
    assert (server.asked[0]["prompt"], server.asked[0]["logprobs"]) == ("24 = ", 1)


async def test_token_ids_are_recorded_where_the_server_returns_them(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [lambda _: ok(choice(token_ids=[5, 6, 7]), prompt_token_ids=[1, 2])]
    result = await answer(connect(token_ids=True), call())
    assert server.asked[0]["return_token_ids"] is True
    assert result.samples[0].token_ids == (5, 6, 7)
    assert result.prompt_token_ids == (1, 2)


TRANSIENT: dict[str, Behaviour] = {
    "500": error(500, "oops"),
    "503 with an HTML page": lambda _: (503, {"content-type": "text/html"}, "<html>busy</html>"),
    "truncated JSON": raw('{"choices": [{"mess'),
    "an HTML page with 200": raw("<html>welcome</html>"),
    "a body shorter than announced": raw('{"choices"', **{"content-length": "500"}),
    "no choices": lambda _: ok(),
    "choices null": raw('{"choices": null}'),
    "an error with 200": raw('{"error": {"message": "overloaded"}}'),
    "a list": raw("[]"),
    "a choice without a finish": lambda _: ok(choice(finish=None)),
    "a choice of another shape": raw('{"choices": ["text"]}'),
}


@pytest.mark.parametrize("fault", TRANSIENT)
async def test_a_transient_fault_is_retried(
    server: Server, connect: Callable[..., OpenAIModel], fault: str
) -> None:
    server.behaviours = [TRANSIENT[fault], TRANSIENT[fault], good]
    assert (await answer(connect(), call())).samples[0].text == "hi 0"
    assert len(server.asked) == 3
    assert server.asked[0] == server.asked[2]


@pytest.mark.parametrize("fault", TRANSIENT)
async def test_a_fault_that_lasts_is_a_model_error_after_five_tries(
    server: Server, connect: Callable[..., OpenAIModel], fault: str
) -> None:
    server.behaviours = [TRANSIENT[fault]]
    [result] = await connect().generate([call()])
    assert type(result) is ModelError
    assert "5 times" in str(result)
    assert "\n" not in str(result)
    assert len(server.asked) == 5


@pytest.mark.parametrize(
    "fault",
    [
        error(401, "bad key"),
        error(403, "no"),
        error(404, "no such model"),
        error(429, "you exceeded your quota", "insufficient_quota"),
        raw('{"error": {"message": "pay", "code": "insufficient_quota"}}'),
    ],
    ids=["401", "403", "404", "quota", "quota with 200"],
)
async def test_what_cannot_succeed_stops_the_run_at_once(
    server: Server, connect: Callable[..., OpenAIModel], fault: Behaviour
) -> None:
    server.behaviours = [fault]
    with pytest.raises(ModelUnavailableError, match="openai:m"):
        await connect().generate([call(), call(prompt=(Message("user", "other"),))])
    assert len(server.asked) <= 2  # never a second try


async def test_a_server_that_is_not_there_stops_the_run() -> None:
    model = OpenAIModel("m", base_url="http://127.0.0.1:9/v1", wait=0.001)
    with pytest.raises(ModelUnavailableError, match="start the server or check --base-url"):
        await model.generate([call()])
    await model.aclose()


async def test_a_hang_ends_in_a_timeout(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    released = threading.Event()

    def hang(body: dict[str, Any]) -> Reply:
        released.wait(5)
        return good(body)

    server.behaviours = [hang]
    [result] = await connect(timeout=0.1, tries=2).generate([call()])
    released.set()
    assert type(result) is ModelError
    assert "did not answer in time" in str(result)
    assert len(server.asked) == 2


async def test_busy_is_waited_for_longer_than_other_faults(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [*[error(429, "slow down", "rate_limit_exceeded")] * 8, good]
    await answer(connect(), call())
    assert len(server.asked) == 9
    server.behaviours = [error(429, "slow down")]
    [result] = await connect().generate([call()])
    assert type(result) is ModelError
    assert len(server.asked) == 19


async def test_a_retry_after_that_is_too_long_stops_the_run(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [error(429, "slow down", **{"retry-after": "3600"})]
    model = connect()
    for _ in range(2):
        with pytest.raises(ModelUnavailableError, match="asks to wait 3600 s"):
            await model.generate([call()])
    assert len(server.asked) == 1  # nothing is sent before


async def test_a_refused_request_is_not_repeated(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    server.behaviours = [error(400, "maximum context length is 4096 tokens")]
    [result] = await connect().generate([call()])
    assert type(result) is ModelError
    assert "maximum context length" in str(result)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("parameter", "options"), [("logprobs", {}), ("seed", {}), ("return_token_ids", {})])
async def test_an_optional_parameter_the_server_rejects_is_left_out_from_then_on(
    server: Server,
    connect: Callable[..., OpenAIModel],
    caplog: pytest.LogCaptureFixture,
    parameter: str,
    options: dict[str, Any],
) -> None:
    def picky(body: dict[str, Any]) -> Reply:
        return error(400, f"unknown parameter {parameter}")(body) if parameter in body else good(body)

    server.behaviours = [picky]
    model = connect(**options)
    with caplog.at_level(logging.WARNING):
        results = await model.generate([call(), call()])
        await answer(model, call())
    assert all(isinstance(result, Generation) for result in results)
    assert len(server.asked) == 5
    assert parameter not in server.asked[-1]
    assert len(caplog.records) == 1


async def test_a_model_that_wants_the_other_name_of_the_limit_gets_it(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    def new(body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            return error(400, "use 'max_completion_tokens' instead of 'max_tokens'")(body)
        return good(body)

    server.behaviours = [new]
    await answer(connect(), call())
    assert server.asked[-1]["max_completion_tokens"] == 9


async def test_a_server_that_ignores_n_is_asked_once_a_sample(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [lambda body: ok(choice(f"seed {body['seed']}"))]
    model = connect()
    first = await answer(model, call(n=4))
    assert len({sample.text for sample in first.samples}) == 4
    assert (first.prompt_tokens, first.completion_tokens) == (28, 12)  # as billed
    assert [body["n"] for body in server.asked] == [4, 1, 1, 1]
    for _ in range(3):  # it may have been an accident until the third time
        again = await answer(model, call(n=4))
        assert again == first
    assert [body["n"] for body in server.asked[12:]] == [1, 1, 1, 1]


async def test_choices_are_put_in_order(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    server.behaviours = [lambda _: ok(choice("b", 1), choice("a", 0))]
    assert [s.text for s in (await answer(connect(), call(n=2))).samples] == ["a", "b"]


async def test_why_a_sample_ended(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    refusal = choice(None)
    refusal["message"]["refusal"] = "I will not"
    endings = [
        (choice(), "end"),
        (choice(finish="length"), "length"),
        (choice(None, finish="content_filter"), "filter"),
        (refusal, "filter"),
        (choice(stop_reason=None), "end"),
    ]
    for given, expected in endings:
        server.behaviours = [always(given)]
        assert (await answer(connect(), call())).samples[0].finish == expected
    stops = [
        (choice(), "stop"),  # cannot be told apart from the model's own end
        (choice(stop_reason=None), "end"),
        (choice(stop_reason=128009), "end"),
        (choice(stop_reason="\n"), "stop"),
        (choice("hi\nthere", finish="length"), "stop"),  # the server did not stop, so we do
    ]
    for given, expected in stops:
        server.behaviours = [always(given)]
        [sample] = (await answer(connect(), call(stop=("\n",)))).samples
        assert (sample.text, sample.finish) == ("hi", expected)


@pytest.mark.parametrize("damage", ["\\ud83d", "\\u0000"])
async def test_a_text_that_no_store_accepts_is_asked_for_again(
    server: Server, connect: Callable[..., OpenAIModel], damage: str
) -> None:
    damaged = ok(choice("a?b"))[2]
    assert isinstance(damaged, str)
    server.behaviours = [raw(damaged.replace("?", damage)), lambda _: ok(choice("a😀"))]
    [sample] = (await answer(connect(), call())).samples
    assert sample.text == "a😀"


def reported(*logprobs: float | None) -> dict[str, Any]:
    return {"content": [{"token": t, "logprob": p} for t, p in zip(("h", "i"), logprobs, strict=True)]}


async def test_a_logprob_that_is_not_a_number_makes_the_samples_logprobs_unknown(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [
        lambda _: ok(
            choice(index=0, logprobs=reported(-0.5, float("nan"))),
            choice(index=1, logprobs=reported(-0.5, 1e-9)),
            choice(index=2, logprobs=reported(-0.5, None)),
            usage=(7, 6),
        )
    ]
    result = await answer(connect(), call(n=3))
    assert [s.logprobs for s in result.samples] == [None, (-0.5, 0.0), None]
    assert [s.tokens for s in result.samples] == [2, 2, 2]
    assert result.samples[0].pieces == ("h", "i")


async def test_usage_is_spread_over_samples_so_that_the_sum_is_what_was_billed(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    hidden = [choice(index=i, logprobs=reported(-1, -1)) for i in range(2)]
    server.behaviours = [lambda _: ok(*hidden, usage=(7, 101))]  # with hidden reasoning
    result = await answer(connect(), call(n=2))
    assert [s.tokens for s in result.samples] == [50, 51]


async def test_without_usage_an_upper_bound_is_counted(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [lambda _: ok(choice("héllo"), usage=None)]
    result = await answer(connect(), call())
    assert result.samples[0].tokens == 7  # six bytes and the end
    assert result.prompt_tokens == 16 + len("hello") + 1 + 16
    server.behaviours = [lambda _: ok(choice("hi", logprobs=reported(-1, -1)), usage=None)]
    assert (await answer(connect(), call())).samples[0].tokens == 2


async def test_an_assistants_turn_is_continued_only_where_the_server_can(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [good]
    started = (*USER, Message("assistant", "Well,"))
    await answer(connect(), call(prompt=started))
    assert server.asked[0]["continue_final_message"] is True
    assert server.asked[0]["add_generation_prompt"] is False
    [result] = await connect(continue_final=False).generate([call(prompt=started)])
    assert type(result) is ModelError
    assert len(server.asked) == 1


async def test_raw_text_and_chats_are_not_mixed_up(
    server: Server, connect: Callable[..., OpenAIModel]
) -> None:
    server.behaviours = [good]
    for model, prompt in ((connect(), "raw"), (connect(completions=True), USER)):
        [result] = await model.generate([call(prompt=prompt)])
        assert type(result) is ModelError
    assert server.asked == []


async def test_concurrency_is_bounded(server: Server, connect: Callable[..., OpenAIModel]) -> None:
    lock, running, most = threading.Lock(), 0, 0

    def slow(body: dict[str, Any]) -> Reply:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.05)
        with lock:
            running -= 1
        return good(body)

    server.behaviours = [slow]
    await connect(max_concurrency=3).generate([call() for _ in range(9)])
    assert most == 3


def test_a_model_outlives_its_event_loop(server: Server) -> None:
    server.behaviours = [good]
    model = OpenAIModel("m", base_url=server.url)

    async def once() -> None:
        await answer(model, call())
        await model.aclose()

    asyncio.run(once())
    asyncio.run(once())
    assert len(server.asked) == 2
