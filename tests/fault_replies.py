"""What the fault server truly says, and the means to reply with something else.

Every sample follows from the prompt, the seed and its place alone (`truth`), so a row that came from a broken reply, from another prompt or from
another seed can be told from a right one exactly.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

JUDGING = "alone on the last line"
"""What a prompt says that asks for a verdict."""
VERDICTS = ("sure", "likely", "impossible")
LINES = ("First {}, then {}", "From {} follows {}")


@dataclass(frozen=True, slots=True)
class Said:
    """One sample as the server truly generated it."""

    text: str
    """Without the stop string."""
    pieces: tuple[str, ...]
    """Of all tokens, the one with the stop string included."""
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Literal["stop", "length"]
    stopped_by: str | None


def truth(prompt: Any, seed: int | None, place: int, stop: tuple[str, ...], max_tokens: int) -> Said:
    """Return what sample `place` of a request says: up to two lines, then an answer or a verdict.

    Args:
        prompt: text, or turns as `{"role", "content"}`.
        seed: of the request.
        place: of the sample in the request, from 0.
        stop: generation ends with the first token that holds one of these.
        max_tokens: and here at the latest.
    """
    number = _number(prompt, seed, place)
    lines = [
        LINES[i].format(_number(number, i) % 10**6, _number(i, number) % 10**6) for i in range(number % 3)
    ]
    judging = JUDGING in json.dumps(prompt)
    text = "\n".join([*lines, VERDICTS[number % 3] if judging else f"Answer: {number % 11}"])
    pieces = tuple(piece for line in text.splitlines(keepends=True) for piece in _tokens(line))
    stopped = next(((i, s) for i, piece in enumerate(pieces) for s in stop if s in piece), None)
    kept = pieces[:max_tokens] if stopped is None else pieces[: min(max_tokens, stopped[0] + 1)]
    cut = len(kept) < len(pieces) and (stopped is None or stopped[0] >= max_tokens)
    said = "".join(kept) if cut or stopped is None else "".join(kept[:-1])
    return Said(
        said,
        kept,
        tuple(_number(number, "id", i) % 50_000 for i in range(len(kept))),
        tuple(-(_number(number, "logprob", i) % 4096) / 1024 for i in range(len(kept))),
        "length" if cut else "stop",
        None if cut or stopped is None else stopped[1],
    )


def _number(*parts: Any) -> int:
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:6], "big")


def _tokens(line: str) -> list[str]:
    words = line.rstrip("\n").split(" ")
    pieces = [words[0], *(f" {word}" for word in words[1:])]
    return [*pieces, "\n"] if line.endswith("\n") else pieces


@dataclass(slots=True)
class Asked:
    """One request for a completion, as the server saw it."""

    path: str
    body: dict[str, Any]
    call: str
    """The same for all tries of one call: digest of what was asked."""
    number: int
    """Of this try of the call, from 1."""
    fault: str = ""
    """Name of what was done to it; "" for nothing."""
    ended: Literal["", "answered", "broken", "disconnected"] = ""
    """disconnected: the client left before it had a whole reply; broken: we did; "": in flight."""
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float = 0.0


class Exchange:
    """A request that waits for its reply, and the means to reply badly."""

    def __init__(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked, self.body, self.writer = asked, asked.body, writer

    @property
    def chat(self) -> bool:
        return "messages" in self.body

    @property
    def said(self) -> list[Said]:
        """The true samples."""
        body = self.body
        limit = body.get("max_completion_tokens") or body.get("max_tokens") or 16
        stop = body.get("stop") or ()
        prompt = body["messages"] if self.chat else body["prompt"]
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        return [truth(prompt, body.get("seed"), i, stops, limit) for i in range(body.get("n") or 1)]

    def completion(self) -> dict[str, Any]:
        """Return the true reply, for the caller to spoil."""
        said = self.said
        prompt = len(json.dumps(self.body["messages"] if self.chat else self.body["prompt"]).split())
        generated = sum(len(sample.ids) for sample in said)
        reply: dict[str, Any] = {
            "id": self.asked.call[:12],
            "object": "chat.completion" if self.chat else "text_completion",
            "created": 1,
            "model": self.body["model"],
            "choices": [self._choice(i, sample) for i, sample in enumerate(said)],
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": generated,
                "total_tokens": prompt + generated,
            },
        }
        if self.body.get("return_token_ids") and self.chat:
            reply["prompt_token_ids"] = list(range(prompt))
        return reply

    def _choice(self, index: int, said: Said) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": index,
            "finish_reason": said.finish,
            "stop_reason": said.stopped_by,
        }
        wanted = bool(self.body.get("logprobs"))
        if self.chat:
            rows: list[dict[str, Any]] = [
                {"token": t, "logprob": p, "top_logprobs": []}
                for t, p in zip(said.pieces, said.logprobs, strict=True)
            ]
            choice |= {
                "message": {"role": "assistant", "content": said.text},
                "logprobs": {"content": rows} if wanted else None,
            }
        else:
            report = {"tokens": list(said.pieces), "token_logprobs": list(said.logprobs)}
            choice |= {"text": said.text, "logprobs": report if wanted else None}
        if self.body.get("return_token_ids"):
            choice["token_ids"] = list(said.ids)
        return choice

    async def send(
        self,
        body: Any,
        status: int = 200,
        *,
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a reply: bytes or text as they are, anything else as JSON (in ASCII; NaN as it is).

        Args:
            body: of the reply.
            status: of the reply.
            length: what Content-Length says; where it is not the body's, the connection is closed after it.
            headers: further ones.
        """
        data = (
            body
            if isinstance(body, bytes)
            else (body if isinstance(body, str) else json.dumps(body)).encode()
        )
        length = len(data) if length is None else length
        fields = {"content-type": "application/json", "content-length": str(length), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
        self.writer.write(data)
        await self.writer.drain()
        if length != len(data):
            self.writer.close()

    def reset(self) -> None:
        """Drop the connection with what was not sent yet."""
        self.writer.transport.abort()


Fault = Callable[[Exchange], Awaitable[None]]
Plan = Callable[[Asked], tuple[str, Fault] | None]
"""What is to be done to a request: a fault with its name, or nothing."""


def well(_: Asked) -> None:
    """Answer every request as it should be."""
