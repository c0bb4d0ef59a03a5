"""How requests travel, against a real server: bounded reads, kept connections, proxies, TLS, and that no reply leaks into another."""

import asyncio
import contextlib
import gc
import gzip
import shutil
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from http_server import Exchange, HttpServer, completion, good, replies

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sampling
from thoughtgraph.agents.models.remote.faults import Fault
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.agents.models.remote.target import read_target, tls_context
from thoughtgraph.agents.models.remote.transport import Transport
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UserError

from .fault_server import FaultServer

Start = Callable[..., Awaitable[HttpServer]]
Ask = Callable[..., Awaitable[Generation | ModelError]]

BODY = completion("hello")
CALL = GenerationCall((Message("user", "hi"),), Sampling(9))


@pytest.fixture
async def ask() -> AsyncIterator[Ask]:
    """A function that asks a server through one model, which keeps its connections."""
    models: dict[str, OpenAIModel] = {}

    async def once(url: str, call: GenerationCall = CALL) -> Generation | ModelError:
        model = models.setdefault(url, OpenAIModel("m", base_url=url, wait=0.001, tries=1))
        [result] = await model.generate([call])
        return result

    yield once
    for model in models.values():
        await model.aclose()


def raw(*parts: bytes, hang_up: bool = False) -> Callable[[Exchange], Awaitable[None]]:
    async def behave(exchange: Exchange) -> None:
        for part in parts:
            await exchange.raw(part)
            await asyncio.sleep(0)
        if hang_up:
            exchange.hang_up()

    return behave


HEAD = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n\r\n" % len(BODY)

WHOLE = {
    "in chunks": raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
    "until the end of an old connection": raw(b"HTTP/1.0 200 OK\r\n\r\n" + BODY),
    "gzip": replies(gzip.compress(BODY), content_encoding="gzip"),
    "deflate": replies(zlib.compress(BODY), content_encoding="deflate"),
}


@pytest.mark.parametrize("framing", WHOLE)
async def test_replies_of_every_kind_are_read(http_server: Start, ask: Ask, framing: str) -> None:
    async def once(exchange: Exchange) -> None:
        await WHOLE[framing](exchange)
        if "end of" in framing:
            exchange.finish()

    server = await http_server(once)
    for _ in range(2):
        result = await ask(server.url)
        assert isinstance(result, Generation), result
        assert result.samples[0].text == "hello"
    assert server.connections == (2 if "end of" in framing else 1)


BROKEN = {
    "a reset": raw(HEAD, hang_up=True),
    "not HTTP": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "a head without end": raw(HEAD + b"A: " + b"b" * 100_000),
    "gzip that is none": replies(BODY, content_encoding="gzip"),
    "a body announced as huge": raw(HEAD + b"Content-Length: 99999999999\r\n\r\n"),
    "a gzip bomb": replies(gzip.compress(bytes(64 << 20), 1), content_encoding="gzip"),
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_what_is_no_reply_is_an_error(http_server: Start, ask: Ask, fault: str) -> None:
    server = await http_server(BROKEN[fault])
    result = await ask(server.url)
    assert type(result) is ModelError
    assert "\n" not in str(result)
    server.behaviour = good
    assert isinstance(await ask(server.url), Generation)
    assert server.connections == 2


async def test_a_second_reply_to_one_request_is_never_read(http_server: Start, ask: Ask) -> None:
    forged = completion("forged")
    second = HEAD + b"Content-Length: %d\r\n\r\n" % len(forged) + forged
    server = await http_server(raw(HEAD + LENGTH + BODY + second))
    for _ in range(3):
        result = await ask(server.url)
        assert isinstance(result, Generation)
        assert result.samples[0].text == "hello"
    assert server.connections == 3


async def test_a_reply_that_nobody_asked_for_is_never_read(http_server: Start, ask: Ask) -> None:
    answered, spoken = asyncio.Event(), asyncio.Event()

    async def twice(exchange: Exchange) -> None:
        await exchange.reply(BODY)
        await answered.wait()
        await exchange.reply(completion("forged"))
        spoken.set()

    server, other = await http_server(twice), await http_server()
    assert isinstance(await ask(server.url), Generation)
    server.behaviour = replies(BODY)
    answered.set()
    await spoken.wait()
    await ask(other.url)  # by then it has arrived
    for _ in range(3):
        result = await ask(server.url)
        assert isinstance(result, Generation)
        assert result.samples[0].text == "hello"
    assert server.connections == 2


async def test_connections_are_kept_and_one_that_was_closed_meanwhile_costs_no_try(
    http_server: Start, ask: Ask
) -> None:
    server = await http_server()
    for _ in range(3):
        await ask(server.url)
    assert server.connections == 1

    async def gone(exchange: Exchange) -> None:
        server.behaviour = good
        exchange.hang_up()  # it was closing while we sent

    server.behaviour = gone
    assert isinstance(await ask(server.url), Generation)
    assert server.connections == 2


async def test_a_long_request_is_sent_whole(http_server: Start, ask: Ask) -> None:
    server = await http_server()
    long = GenerationCall((Message("user", "a" * (3 << 20)),), Sampling(9))
    assert isinstance(await ask(server.url, call=long), Generation)
    assert len(server.asked[0].json["messages"][0]["content"]) == 3 << 20


def test_connections_end_with_their_event_loop(caplog: pytest.LogCaptureFixture) -> None:
    with FaultServer() as server:
        model = OpenAIModel("m", base_url=server.url)
        for _ in range(2):
            [result] = asyncio.run(model.generate([CALL]))
            assert isinstance(result, Generation)
        del model
        gc.collect()  # what was left open warns
    assert caplog.records == []


async def test_nothing_is_sent_if_it_may_not_depart_any_more(http_server: Start) -> None:
    def refuse() -> None:
        raise LookupError

    server, transport = await http_server(), Transport("", 9, 9)
    for depart in (refuse, lambda: None, refuse):  # over a new connection, and over one that was kept
        with contextlib.suppress(LookupError):
            await transport.request(read_target(server.url), "POST", "/x", b"{}", 1 << 20, depart)
    assert len(server.asked) == 1
    await transport.aclose()


async def test_what_is_closed_says_so(http_server: Start) -> None:
    server = await http_server()
    for asked in (0, 1):
        transport = Transport("", 9, 9)
        target = read_target(server.url)
        for _ in range(asked):
            await transport.request(target, "POST", "/x", b"{}", 1 << 20, lambda: None)
        await transport.aclose()
        with pytest.raises(Fault, match="were closed"):
            await transport.request(target, "POST", "/x", b"{}", 1 << 20, lambda: None)


async def test_a_key_is_sent_and_told_to_nobody(
    http_server: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")

    async def indiscreet(exchange: Exchange) -> None:
        await exchange.reply(f"Bad key: {exchange.headers['authorization']}".encode(), 401)

    with pytest.raises(ModelUnavailableError, match=r"Bad key: Bearer \[key\]") as caught:
        await ask((await http_server(indiscreet)).url)
    assert "canary" not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk\nX-Header: forged")
    with pytest.raises(UserError, match="has characters that no key has"):
        OpenAIModel("m", base_url="http://127.0.0.1:9/v1")


async def test_a_proxy_of_the_environment_is_used(
    http_server: Start, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = await http_server(replies(BODY))
    monkeypatch.setenv("http_proxy", f"http://user:pass%40word@127.0.0.1:{proxy.port}")
    assert isinstance(await ask("http://models.invalid:8000/v1"), Generation)
    assert proxy.asked[0].path == "http://models.invalid:8000/v1/chat/completions"
    assert proxy.asked[0].headers["host"] == "models.invalid:8000"
    assert proxy.asked[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNzQHdvcmQ="
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = await http_server()
    assert isinstance(await ask(server.url), Generation)
    assert len(proxy.asked) == 1
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(UserError, match="kind 'socks5'"):
        OpenAIModel("m", base_url="http://models.invalid/v1")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command, *files], cwd=tmp_path, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return both


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of the test's own server: asyncio's TLS streams
async def test_tls_trusts_what_the_environment_names_and_goes_through_proxies(
    http_server: Start, ask: Ask, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await http_server(good, context)
    tls_context.cache_clear()
    with pytest.raises(ModelUnavailableError, match="is not trusted"):
        await ask(server.url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_context.cache_clear()
    assert isinstance(await ask(server.url), Generation)

    async def tunnel(exchange: Exchange) -> None:
        assert (exchange.method, exchange.path) == ("CONNECT", f"127.0.0.1:{server.port}")
        await exchange.raw(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await exchange.forward("127.0.0.1", server.port)

    proxy = await http_server(tunnel)
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{proxy.port}")
    assert isinstance(await ask(server.url + "/"), Generation)
    assert len(proxy.asked) == 1
    tls_context.cache_clear()
