"""A model behind any OpenAI-compatible server: OpenAI itself, vLLM, SGLang, llama.cpp, and hosted ones.

    model = OpenAIModel("Qwen/Qwen3-8B", base_url="http://localhost:8000/v1")
    model = OpenAIModel("Qwen/Qwen3-8B", base_url=("http://gpu0:8000/v1", "http://gpu1:8000/v1"))

A call is asked by `client`. What may go wrong on the way, and what is done about it, is the table in `faults`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from ....graph.errors import ModelError, ModelUnavailableError, UserError
from ..base import Generation, GenerationCall, Limits, Price, Sample
from ..reasoning import split_reasoning
from ..text import continues_assistant
from .attempts import Patience
from .client import Client, ClientSettings
from .endpoints import EndpointStatistics
from .limiter import START
from .request import Dialect
from .target import Target, read_key, read_target

T = TypeVar("T")

OPENAI_URL = "https://api.openai.com/v1"


class OpenAIModel:
    """A chat or text-completion endpoint as a `LanguageModel`.

    At temperature 0 one sample is asked for, and stands for all `n`. An answer is cut to what the context has left; once a server told its context, before it is
    asked, if more tokens are wanted than that. A server that ignores `n` is asked once a sample; one that rejects `logprobs`, `seed` or `return_token_ids` is asked without (each remembered and
    logged once): the record then has None for them. Where the server's own end and a stop string cannot be told apart, `finish` is `stop` if the call had
    stop strings. A sample with a log-probability that is not a number has `logprobs` None.

    Args:
        model: the server's name for it.
        base_url: of a compatible server, such as `http://localhost:8000/v1`, or of several that serve the same model; by default OPENAI_BASE_URL from the
            environment, else OpenAI.
        api_key_env: environment variable that holds the key; needed for OpenAI.
        completions: continue raw text through `/completions` instead of chatting.
        max_concurrency: requests at the same time to one server (≥ 1). Fewer are sent while the server rejects more with status 429.
        timeout: seconds for one request, once the limit lets it go (> 0).
        connect_timeout: seconds until a connection is there (> 0).
        tries: times a request is made at most when it meets the same fault (≥ 1); see `faults` for what is tried less often.
        wait: seconds before the second try, doubled for each further one unless the server names a time (≥ 0).
        max_wait: longest Retry-After that is waited for, in seconds; a longer one stops the run.
        price: dollars per million tokens; without one, a budget in dollars is refused. In a spec, `price=3,15`.
        logprobs: ask for the log-probability of each token.
        token_ids: ask for token ids (`return_token_ids`, vLLM); by default of all servers but OpenAI.
        send_seed: send the call's seed.
        continue_final: whether the server can continue an assistant's last turn (`continue_final_message`); by default
            for compatible servers and not for OpenAI, which would answer it instead.
        reasons: whether it thinks before it answers: True or False tells the chat template so (`enable_thinking`), where the server passes that on; None
            leaves it to the server. What it thinks is told apart from its answer in any case.
        served_as: further names by which the server may call the model in its replies; see `served.same_model` for what is allowed anyway. Any other stops
            the run: another model's thoughts are not this one's.
        version: identity beyond the name, for instance of the checkpoint behind a served name. The URL is not part of
            the identity, so a run can be resumed against a server that moved.

    Raises:
        UserError: if there is no key for OpenAI, an address cannot be read, or a number is out of its range.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | Iterable[str] | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        completions: bool = False,
        max_concurrency: int = 128,
        timeout: float = 300.0,
        connect_timeout: float = 10.0,
        tries: int = 5,
        wait: float = 0.5,
        max_wait: float = 60.0,
        price: Price | None = None,
        logprobs: bool = True,
        token_ids: bool | None = None,
        send_seed: bool = True,
        continue_final: bool | None = None,
        reasons: bool | None = None,
        served_as: str | Iterable[str] = (),
        version: str | None = None,
    ) -> None:
        targets = _targets(base_url)
        ours = any(target.host == "api.openai.com" for target in targets)
        self._name = f"openai:{model}" + (f"@{version}" if version else "")
        self._price = price
        self._reasons = bool(reasons) and not completions
        self._settings = ClientSettings(
            targets,
            key=_read_key(model, api_key_env, needed=ours),
            concurrency=max_concurrency,
            timeout=timeout,
            connect_timeout=connect_timeout,
            patience=Patience(tries, wait),
            max_wait=max_wait,
            served_as=_texts(served_as),
        )
        ids = not ours if token_ids is None else token_ids
        self._dialect = Dialect(
            model,
            completions,
            continues=not ours if continue_final is None else continue_final,
            limit_key="max_completion_tokens" if ours and not completions else "max_tokens",
            thinking=None if ours else reasons,
            without=_unwanted(logprobs=logprobs, seed=send_seed, return_token_ids=ids),
        )
        self._open: tuple[asyncio.AbstractEventLoop, Client] | None = None
        self._running: set[asyncio.Task[Generation]] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def chat(self) -> bool:
        return not self._dialect.completions

    @property
    def continues(self) -> bool:
        """See `base.continues_turns`; as far as is known."""
        return self.chat and self._dialect.continues and not self._reasons

    @property
    def reasons(self) -> bool:
        """See `base.reasons_first`."""
        return self._reasons

    @property
    def alternatives(self) -> bool:
        """See `base.tells_alternatives`; as far as is known."""
        return "logprobs" not in self._dialect.without

    @property
    def limits(self) -> Limits:
        """As many calls as the servers take at the moment; it adapts."""
        if self._open is None:
            return Limits(1, min(START, self._settings.concurrency) * len(self._settings.targets))
        return Limits(1, sum(endpoint.limit for endpoint in self.statistics))

    @property
    def price(self) -> Price:
        return self._price or Price()

    @property
    def priced(self) -> bool:
        """See `base.knows_price`."""
        return self._price is not None

    @property
    def statistics(self) -> tuple[EndpointStatistics, ...]:
        """What each server does at this moment and has done so far; empty before the first call in this event loop."""
        return self._open[1].statistics if self._open else ()

    async def reach(self) -> None:
        """Find out without a call whether a server is there; raises ModelUnavailableError at once if none is."""
        await self._connected().reach()

    async def context(self) -> int | None:
        """Return how many tokens prompt and answer may have together; None where the servers do not tell."""
        return await self._connected().context()

    async def aclose(self) -> None:
        """Cancel what is in flight, here and on the servers, and close the connections. Calls cancelled so are errors to those who made them."""
        opened, self._open = self._open, None
        running = [task for task in self._running if task.get_loop() is asyncio.get_running_loop()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if opened is not None and opened[0] is asyncio.get_running_loop():
            await opened[1].aclose()

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer the calls at the same time; cancelling it cancels its requests on the servers too.

        Prompt tokens are those billed: where the server has to be asked once a sample, the prompt counts each time.

        Raises:
            ModelUnavailableError: on a bad key, a spent quota, an unknown model, or servers that cannot be reached.
        """
        return await _together(self._result(call) for call in calls)

    async def _result(self, call: GenerationCall) -> Generation | ModelError:
        task = asyncio.ensure_future(self._answer(call))
        self._running.add(task)
        try:
            return await task
        except ModelUnavailableError:
            raise
        except ModelError as error:
            return error
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            return ModelError(f"{self._name} was closed before it answered; resume to try again")
        finally:
            self._running.discard(task)

    async def _answer(self, call: GenerationCall) -> Generation:
        self._check(call)
        if (
            call.sampling.temperature == 0 and call.n > 1
        ):  # all are the same, and vLLM refuses to give the same one again
            one = await self._answer(replace(call, n=1))
            return replace(one, samples=one.samples * call.n)
        client = self._connected()
        first = 1 if self._dialect.one_by_one else call.n
        replies = [await client.ask(replace(call, n=first))]
        got = len(replies[0].samples)
        self._dialect.count(first, got)
        if got < call.n:
            singles = (replace(call, n=1, first_sample=call.first_sample + i) for i in range(got, call.n))
            replies += await _together(client.ask(single) for single in singles)
        return Generation(
            samples=tuple(self._told_apart(sample) for reply in replies for sample in reply.samples),
            prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            prompt_token_ids=replies[0].prompt_token_ids,
            cached_prompt_tokens=sum(reply.cached_tokens for reply in replies),
        )

    def _told_apart(self, sample: Sample) -> Sample:
        """Return a chat's sample without thoughts in its text."""
        return (
            split_reasoning(sample, opened=self._reasons and sample.finish == "length")
            if self.chat
            else sample
        )

    def _check(self, call: GenerationCall) -> None:
        completions = self._dialect.completions
        if completions and not isinstance(call.prompt, str):
            raise ModelError(
                f"{self._name} continues raw text and was given chat turns; set completions=False"
            )
        if not completions and isinstance(call.prompt, str):
            raise ModelError(f"{self._name} takes chat turns and was given raw text; set completions=True")
        if continues_assistant(call) and not self._dialect.continues:
            raise ModelError(
                f"{self._name} cannot continue an assistant's turn; end the prompt with a user's turn, "
                "or set continue_final=True if the server can"
            )

    def _connected(self) -> Client:
        """Return the client of this event loop; connections of a loop that is gone cannot be used."""
        loop = asyncio.get_running_loop()
        if self._open is None or self._open[0] is not loop:
            self._open = loop, Client(self._name, self._dialect, self._settings)
        return self._open[1]


def _targets(base_url: str | Iterable[str] | None) -> tuple[Target, ...]:
    """Return the servers, each once: those given, else that of the environment, else OpenAI's."""
    urls = _texts(base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI_URL)
    return tuple(read_target(url) for url in dict.fromkeys(urls))


def _unwanted(**wanted: bool) -> set[str]:
    """Return the names of what is not wanted."""
    return {name for name, wants in wanted.items() if not wants}


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _read_key(model: str, variable: str, *, needed: bool) -> str:
    key = read_key(variable)
    if needed and not key:
        raise UserError(f"openai:{model} needs a key; set {variable}, or give --base-url for your own server")
    return key


async def _together(work: Iterable[Awaitable[T]]) -> list[T]:
    """Return the results of all; if one fails or we are cancelled, the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
