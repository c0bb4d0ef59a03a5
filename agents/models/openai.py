"""A model behind any OpenAI-compatible server: OpenAI itself, vLLM, SGLang, llama.cpp, and hosted ones.

    model = OpenAIModel("Qwen/Qwen3-8B", base_url="http://localhost:8000/v1")

Retries are bounded and ours alone (the client's are off). What may go wrong on the way is settled in `openai_wire`
(replies) and `openai_faults` (errors).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from openai import AsyncOpenAI, OpenAIError

from ...graph.errors import ModelError, ModelUnavailableError, UserError
from ...graph.ids import derive_seed
from .base import Generation, GenerationCall, Limits, Price
from .openai_faults import RejectedError, RetryableError, classify, give_up, retrying
from .openai_wire import BadReplyError, ErrorReplyError, Reply, read_reply
from .text import clean, continues_assistant

_log = logging.getLogger(__name__)


class OpenAIModel:
    """A chat or text-completion endpoint as a `LanguageModel`.

    A server that ignores `n` is asked once a sample; one that rejects `logprobs`, `seed` or `return_token_ids` is asked
    without (each remembered and logged once): the record then has None for them. Where the server's own end and a stop
    string cannot be told apart, `finish` is `stop` if the call had stop strings. A sample with a log-probability that is
    not a number has `logprobs` None.

    Args:
        model: the server's name for it.
        base_url: of a compatible server, such as `http://localhost:8000/v1`; None for OpenAI.
        api_key_env: environment variable that holds the key; needed where `base_url` is None.
        completions: continue raw text through `/completions` instead of chatting.
        max_concurrency: requests at the same time (≥ 1).
        timeout: seconds for one request.
        tries: times a request is made at most (≥ 1).
        wait: seconds before the second try, doubled for each further one unless the server names a time.
        max_wait: longest Retry-After that is waited for, in seconds.
        price: dollars per million tokens.
        logprobs: ask for the log-probability of each token.
        token_ids: ask for token ids (`return_token_ids`, vLLM).
        send_seed: send the call's seed.
        continue_final: whether the server can continue an assistant's last turn (`continue_final_message`); by default
            for compatible servers and not for OpenAI, which would answer it instead.
        version: identity beyond the name, for instance of the checkpoint behind a served name. The URL is not part of
            the identity, so a run can be resumed against a server that moved.

    Raises:
        UserError: if there is no key for OpenAI.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        completions: bool = False,
        max_concurrency: int = 32,
        timeout: float = 300.0,
        tries: int = 5,
        wait: float = 0.5,
        max_wait: float = 60.0,
        price: Price | None = None,
        logprobs: bool = True,
        token_ids: bool = False,
        send_seed: bool = True,
        continue_final: bool | None = None,
        version: str | None = None,
    ) -> None:
        key = os.environ.get(api_key_env)
        if not key and base_url is None:
            raise UserError(
                f"openai:{model} needs a key; set {api_key_env}, or give --base-url for your own server"
            )
        self._model = model
        self._name = f"openai:{model}" + (f"@{version}" if version else "")
        self._client_options = {
            "api_key": key or "none",
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": 0,
        }
        self._completions = completions
        self._concurrency = max(1, max_concurrency)
        self._tries, self._wait, self._max_wait = max(1, tries), wait, max_wait
        self._price = price or Price()
        self._continues = (base_url is not None) if continue_final is None else continue_final
        self._limit_key = "max_completion_tokens" if base_url is None and not completions else "max_tokens"
        self._wanted = {
            key
            for key, want in (("logprobs", logprobs), ("return_token_ids", token_ids), ("seed", send_seed))
            if want
        }
        self._one_by_one = False
        self._open: tuple[asyncio.AbstractEventLoop, AsyncOpenAI, asyncio.Semaphore] | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def chat(self) -> bool:
        return not self._completions

    @property
    def limits(self) -> Limits:
        return Limits(batch=1, concurrency=self._concurrency)

    @property
    def price(self) -> Price:
        return self._price

    async def aclose(self) -> None:
        """Close the connections."""
        if self._open is not None:
            _, client, _ = self._open
            self._open = None
            await client.close()

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer the calls at the same time.

        Prompt tokens are those billed: where the server has to be asked once a sample, the prompt counts each time.

        Raises:
            ModelUnavailableError: on a bad key, a spent quota, an unknown model, or a server that cannot be reached.
        """
        results = await asyncio.gather(*(self._answer(call) for call in calls), return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        for failure in sorted(failures, key=lambda e: isinstance(e, ModelError)):
            if not isinstance(failure, ModelError) or isinstance(failure, ModelUnavailableError):
                raise failure
        return [result for result in results if isinstance(result, Generation | ModelError)]

    async def _answer(self, call: GenerationCall) -> Generation:
        self._check(call)
        first = 1 if self._one_by_one else call.n
        replies = [await self._ask(replace(call, n=first))]
        got = len(replies[0].samples)
        if got < call.n:
            self._one_by_one = self._one_by_one or got == 1
            rest = [replace(call, n=1, first_sample=call.first_sample + i) for i in range(got, call.n)]
            replies += await asyncio.gather(*(self._ask(single) for single in rest))
        return Generation(
            samples=tuple(sample for reply in replies for sample in reply.samples),
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            prompt_token_ids=replies[0].prompt_token_ids,
        )

    def _check(self, call: GenerationCall) -> None:
        if self._completions and not isinstance(call.prompt, str):
            raise ModelError(
                f"{self._name} continues raw text and was given chat turns; set completions=False"
            )
        if not self._completions and isinstance(call.prompt, str):
            raise ModelError(f"{self._name} takes chat turns and was given raw text; set completions=True")
        if continues_assistant(call) and not self._continues:
            raise ModelError(
                f"{self._name} cannot continue an assistant's turn; end the prompt with a user's turn, "
                "or set continue_final=True if the server can"
            )

    async def _ask(self, call: GenerationCall) -> Reply:
        """Make one request, again as often as it helps."""
        try:
            async for attempt in retrying(self._tries, self._wait, call.id(self._name)):
                with attempt:
                    return await self._ask_once(call)
        except (RetryableError, RejectedError, ModelError) as error:
            final = give_up(self._name, error, self._tries)
            raise final from error
        raise AssertionError("unreachable: tenacity raises the last error again")

    async def _ask_once(self, call: GenerationCall) -> Reply:
        while True:
            wanted = frozenset(self._wanted)
            try:
                return read_reply(await self._post(self._body(call)), call)
            except (OpenAIError, BadReplyError, ErrorReplyError) as error:
                meaning = classify(self._name, error, self._max_wait)
                if isinstance(meaning, RejectedError) and self._do_without(str(meaning), wanted):
                    continue
                raise meaning from error

    def _do_without(self, message: str, sent: frozenset[str]) -> bool:
        """Drop, for good, an optional parameter that a rejection names; return whether to ask again."""
        if self._limit_key == "max_tokens" and "max_completion_tokens" in message:
            self._limit_key = "max_completion_tokens"
            return True
        named = {key for key in sent if key in message}
        for key in named & self._wanted:
            self._wanted.discard(key)
            _log.warning("%s does not take %r; asking without it from now on (%s)", self._name, key, message)
        return bool(named)

    def _body(self, call: GenerationCall) -> dict[str, Any]:
        sampling, extra = call.sampling, dict[str, Any]()
        body: dict[str, Any] = {
            "model": self._model,
            "n": call.n,
            "temperature": sampling.temperature,
            self._limit_key: sampling.max_tokens,
        }
        if sampling.top_p != 1.0:
            body["top_p"] = sampling.top_p
        if sampling.min_p > 0.0:
            extra["min_p"] = sampling.min_p
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if "seed" in self._wanted:
            body["seed"] = (
                derive_seed(call.seed, call.first_sample) & 0x7FFFFFFF
            )  # servers differ above 31 bits
        if "logprobs" in self._wanted:
            body["logprobs"] = 1 if self._completions else True
        if "return_token_ids" in self._wanted:
            extra["return_token_ids"] = True
        if isinstance(call.prompt, str):
            body["prompt"] = clean(call.prompt)
        else:
            body["messages"] = [{"role": turn.role, "content": clean(turn.content)} for turn in call.prompt]
            if continues_assistant(call):
                extra |= {"add_generation_prompt": False, "continue_final_message": True}
        return body | ({"extra_body": extra} if extra else {})

    async def _post(self, body: dict[str, Any]) -> str:
        client, slots = self._connect()
        create: Any = (
            client.completions.with_raw_response.create
            if self._completions
            else client.chat.completions.with_raw_response.create
        )
        async with slots:
            # the raw reply: parsed ones lose token ids, and turn an HTML page into a "completion"
            return (await create(**body)).text

    def _connect(self) -> tuple[AsyncOpenAI, asyncio.Semaphore]:
        """Return the client of this event loop; connections of a loop that is gone cannot be used."""
        loop = asyncio.get_running_loop()
        if self._open is None or self._open[0] is not loop:
            options: Any = self._client_options
            self._open = (loop, AsyncOpenAI(**options), asyncio.Semaphore(self._concurrency))
        return self._open[1], self._open[2]
