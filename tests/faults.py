"""What endpoints do wrong, each as a function that replies to an exchange of the fault server."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import Any

from thoughtgraph.graph.ids import derive_rng

from .fault_replies import Asked, Exchange, Fault, Plan

FORGED = "FORGED"
"""A mark in what faulty replies say where a true reply says something else: a row that holds it is a wrong row."""
HANG_SECONDS = 600.0
BOMB_BYTES = 1 << 28
"""What the gzip bomb unpacks to; the plain body of 100 MB is sent as it is."""
LARGE_BYTES = 100 << 20

FAULTS: dict[str, Fault] = {}


def _named(name: str) -> Callable[[Fault], Fault]:
    def keep(fault: Fault) -> Fault:
        FAULTS[name] = fault
        return fault

    return keep


def spoilt(name: str, spoil: Callable[[dict[str, Any]], Any]) -> None:
    """Name a fault that sends the true reply after `spoil` changed it, or what `spoil` returns in its place."""

    async def fault(exchange: Exchange) -> None:
        reply = exchange.completion()
        changed = spoil(reply)
        await exchange.send(reply if changed is None else changed)

    FAULTS[name] = fault


def status(
    name: str, number: int, message: str, code: str | None = None, kind: str = "error", **headers: str
) -> None:
    """Name a fault that replies with a status and an error object."""

    async def fault(exchange: Exchange) -> None:
        error = {"message": message, "type": kind, "code": code}
        fields = {key.replace("_", "-"): value for key, value in headers.items()}
        await exchange.send({"error": error}, number, headers=fields)

    FAULTS[name] = fault


# --- the connection and the body ---


@_named("truncated JSON")
async def _(exchange: Exchange) -> None:
    whole = json.dumps(exchange.completion())
    await exchange.send(whole[: 2 * len(whole) // 3])


@_named("short body")
async def _(exchange: Exchange) -> None:
    whole = json.dumps(exchange.completion())
    await exchange.send(whole[: len(whole) // 2], length=len(whole))


@_named("reset")
async def _(exchange: Exchange) -> None:
    exchange.reset()


@_named("reset in the body")
async def _(exchange: Exchange) -> None:
    whole = json.dumps(exchange.completion())
    exchange.writer.write(f"HTTP/1.1 200 X\r\ncontent-length: {len(whole)}\r\n\r\n{whole[:40]}".encode())
    await exchange.writer.drain()
    exchange.reset()


@_named("not HTTP")
async def _(exchange: Exchange) -> None:
    exchange.writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    exchange.writer.close()


@_named("hang")
async def _(_: Exchange) -> None:
    await asyncio.sleep(HANG_SECONDS)


@_named("slow drip")
async def _(exchange: Exchange) -> None:
    """Send a byte a moment, so that no single read ever waits long."""
    whole = json.dumps(exchange.completion())
    exchange.writer.write(f"HTTP/1.1 200 X\r\ncontent-length: {len(whole)}\r\n\r\n".encode())
    for byte in whole.encode():
        exchange.writer.write(bytes([byte]))
        await exchange.writer.drain()
        await asyncio.sleep(0.05)


@_named("gzip bomb")
async def _(exchange: Exchange) -> None:
    await exchange.send(_bomb(), headers={"content-encoding": "gzip"})


def _bomb() -> bytes:
    """Return a gzip stream of blanks: one block that refers to nothing before it, again and again."""
    packer, size = zlib.compressobj(9, wbits=31), 1 << 20
    block = packer.compress(b" " * size) + packer.flush(zlib.Z_FULL_FLUSH)
    return block[:10] + block[10:] * (BOMB_BYTES // size)


@_named("100 MB")
async def _(exchange: Exchange) -> None:
    exchange.writer.write(f"HTTP/1.1 200 X\r\ncontent-length: {LARGE_BYTES}\r\n\r\n".encode())
    blank = b" " * (1 << 16)
    for _ in range(LARGE_BYTES >> 16):
        exchange.writer.write(blank)
        await exchange.writer.drain()


@_named("100 MB in chunks")
async def _(exchange: Exchange) -> None:
    """No Content-Length gives it away."""
    exchange.writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b" " * (1 << 16) + b"\r\n"
    for _ in range(LARGE_BYTES >> 16):
        exchange.writer.write(chunk)
        await exchange.writer.drain()
    exchange.writer.write(b"0\r\n\r\n")


@_named("bad gzip")
async def _(exchange: Exchange) -> None:
    packed = gzip.compress(json.dumps(exchange.completion()).encode())
    await exchange.send(packed[:20] + b"\xff" * 20 + packed[40:], headers={"content-encoding": "gzip"})


@_named("bad UTF-8")
async def _(exchange: Exchange) -> None:
    reply = exchange.completion()
    _say(reply, "§§")
    await exchange.send(json.dumps(reply, ensure_ascii=False).encode().replace("§§".encode(), b"\xff\xc3("))


@_named("HTML with 200")
async def _(exchange: Exchange) -> None:
    page = f"<html><body>{FORGED} Answer: 1</body></html>"
    await exchange.send(page, headers={"content-type": "text/html"})


@_named("an empty body")
async def _(exchange: Exchange) -> None:
    await exchange.send(b"")


# --- the reply's form ---


def _say(reply: dict[str, Any], text: Any) -> None:
    """Have every choice say something else."""
    for choice in reply["choices"]:
        if "message" in choice:
            choice["message"]["content"] = text
        else:
            choice["text"] = text


def _insert(piece: str) -> Callable[[dict[str, Any]], None]:
    """Return a change that puts a piece into the middle of every choice's text."""

    def change(reply: dict[str, Any]) -> None:
        for choice in reply["choices"]:
            holder, key = (choice["message"], "content") if "message" in choice else (choice, "text")
            text = holder[key]
            holder[key] = f"{text[:3]}{piece}{text[3:]}"

    return change


def _logprob(value: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change that makes the first token's log-probability `value`."""

    def change(reply: dict[str, Any]) -> None:
        for choice in reply["choices"]:
            report: dict[str, Any] = choice["logprobs"] or {}
            if report.get("content"):
                report["content"][0]["logprob"] = value
            elif report.get("token_logprobs"):
                report["token_logprobs"][0] = value

    return change


def _ended(reason: str, text: str | None = FORGED) -> Callable[[dict[str, Any]], None]:
    def change(reply: dict[str, Any]) -> None:
        _say(reply, text)
        for choice in reply["choices"]:
            choice |= {"finish_reason": reason, "stop_reason": None, "logprobs": None}
            choice.pop("token_ids", None)

    return change


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    def change(reply: dict[str, Any]) -> None:
        del reply[key]

    return change


def _with(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda reply: reply.update(values)


def _fewer(reply: dict[str, Any]) -> None:
    del reply["choices"][1:]  # what a server does that knows no n


def _more(reply: dict[str, Any]) -> None:
    extra = json.loads(json.dumps(reply["choices"][-1]))
    reply["choices"].append(extra | {"index": len(reply["choices"])})
    _say({"choices": reply["choices"][-1:]}, f"{FORGED}\nAnswer: 1")


def _swapped(reply: dict[str, Any]) -> None:
    _say(reply, f"{FORGED} Answer: 1")
    reply["model"] = "quite-another"


spoilt("an error with 200", lambda _: {"error": {"message": "overloaded", "type": "server_error"}})
spoilt("quota with 200", lambda _: {"error": {"message": "pay", "code": "insufficient_quota"}})
spoilt("a list", lambda reply: [reply])
spoilt("choices empty", _with(choices=[]))
spoilt("choices null", _with(choices=None))
spoilt("choices missing", _without("choices"))
spoilt("content null", _ended("stop", None))
spoilt("content empty", _ended("stop", ""))
spoilt("content a list", lambda reply: _say(reply, [FORGED]))
spoilt("finish missing", _ended(""))
spoilt("content filter", _ended("content_filter"))
spoilt("cut by length", _ended("length", "First 1, th"))
spoilt("logprob NaN", _logprob(float("nan")))
spoilt("logprob inf", _logprob(float("inf")))
spoilt("logprob -inf", _logprob(float("-inf")))
spoilt("logprob missing", _logprob(None))
spoilt("lone surrogate", _insert(f"{FORGED}\ud83d"))
spoilt("NUL", _insert(f"{FORGED}\0"))
spoilt("fewer choices", _fewer)
spoilt("more choices", _more)
spoilt("usage missing", _without("usage"))
spoilt("usage negative", _with(usage={"prompt_tokens": -7, "completion_tokens": -3}))
spoilt("usage zero", _with(usage={"prompt_tokens": 0, "completion_tokens": 0}))
spoilt("usage a list", _with(usage=[1]))
spoilt("usage huge", _with(usage={"prompt_tokens": 10**30, "completion_tokens": 10**30}))
spoilt("usage text", _with(usage={"prompt_tokens": "many", "completion_tokens": [1]}))
spoilt("model swapped", _swapped)

# --- statuses ---

status("401", 401, "incorrect key", "invalid_api_key")
status("402", 402, "pay first")
status("403", 403, "not yours")
status("404 model", 404, "the model `m` does not exist", "model_not_found")
status("429", 429, "slow down", "rate_limit_exceeded")
status("429 for seconds", 429, "slow down", "rate_limit_exceeded", retry_after="0.05")
status("429 until a date past", 429, "slow down", retry_after=formatdate(0, usegmt=True))
status("429 quota", 429, "you exceeded your quota", "insufficient_quota", "insufficient_quota")
status("500", 500, "out of luck")
status("501", 501, "The model does not support Chat Completions API", kind="NotImplementedError")
status("503", 503, "busy")
status("400 context", 400, "this model's maximum context length is 256 tokens", "context_length_exceeded")

# --- plans ---


def always(name: str) -> Plan:
    """Do the same to every request."""
    return lambda _: (name, FAULTS[name])


def times(name: str, count: int) -> Plan:
    """Do something to the first tries of each call."""
    return lambda asked: (name, FAULTS[name]) if asked.number <= count else None


def nth(name: str, number: int) -> Plan:
    """Do something to the n-th request alone, counted from 1."""
    count = 0

    def plan(_: Asked) -> tuple[str, Fault] | None:
        nonlocal count
        count += 1
        return (name, FAULTS[name]) if count == number else None

    return plan


def rejecting(*parameters: str) -> Plan:
    """Refuse every request that has one of these parameters, by its name."""

    def plan(asked: Asked) -> tuple[str, Fault] | None:
        found = [name for name in parameters if name in asked.body]
        if not found:
            return None

        async def fault(exchange: Exchange) -> None:
            message = f"unknown parameter: '{found[0]}'"
            await exchange.send({"error": {"message": message, "param": found[0]}}, 400)

        return "400 parameter", fault

    return plan


def mixed(names: Sequence[str], rate: float, seed: int) -> Plan:
    """Do one of these to a share of requests; which, follows from the seed, the call and the number of its try."""

    def plan(asked: Asked) -> tuple[str, Fault] | None:
        rng = derive_rng(seed, asked.call, asked.number)
        if rng.random() >= rate:
            return None
        name = names[rng.randrange(len(names))]
        return name, FAULTS[name]

    return plan
