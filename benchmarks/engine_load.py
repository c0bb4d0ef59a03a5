"""The raw engine: recorded calls sent again by the barest client there is, a fixed number at a time.

No retries, no parsing beyond the usage, connections kept open: what it reaches is what the server can do with these prompts.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Rate:
    """What a load came to."""

    requests: int
    tokens: int
    """Generated."""
    seconds: float
    """From the first request to the last reply."""

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens a second."""
        return self.tokens / self.seconds


async def replay(url: str, bodies: Sequence[bytes], concurrency: int) -> Rate:
    """Post every body once to `url`, `concurrency` at a time, in order.

    Raises:
        RuntimeError: on any reply but 200.
    """
    waiting = iter(bodies)
    started = time.perf_counter()
    tokens = await asyncio.gather(*(_client(url, waiting) for _ in range(concurrency)))
    return Rate(len(bodies), sum(tokens), time.perf_counter() - started)


async def _client(url: str, bodies: Iterator[bytes]) -> int:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    tokens = 0
    for body in bodies:  # shared by all clients: who is free takes the next
        head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
        length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
        reply = await reader.readexactly(length)
        if b" 200 " not in lines[0]:
            raise RuntimeError(f"the server answered {lines[0].decode()}: {reply[:200]!r}")
        tokens += json.loads(reply)["usage"]["completion_tokens"]
    writer.close()
    return tokens
