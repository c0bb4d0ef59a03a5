"""Any LangChain chat model as a `LanguageModel`.

    LangChainModel(ChatAnthropic(model="claude-sonnet-4-5"))        # or the spec langchain:anthropic:claude-sonnet-4-5

LangChain gives one answer a request, no token ids, and retries by the chat model's own settings.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from ...graph.errors import ModelError, ModelUnavailableError, UserError
from .base import Finish, Generation, GenerationCall, Limits, Message, Price, Sample
from .options import check_least
from .text import (
    clean,
    clean_logprobs,
    continues_assistant,
    cut_at_stop,
    prompt_token_bound,
    shorten,
    token_bound,
)

PROVIDERS: Mapping[str, tuple[str, str]] = {
    "anthropic": ("langchain_anthropic", "ChatAnthropic"),
    "google_genai": ("langchain_google_genai", "ChatGoogleGenerativeAI"),
    "groq": ("langchain_groq", "ChatGroq"),
    "mistralai": ("langchain_mistralai", "ChatMistralAI"),
    "ollama": ("langchain_ollama", "ChatOllama"),
    "openai": ("langchain_openai", "ChatOpenAI"),
}
"""Packages used directly where `langchain` itself is not installed: module and class of each provider."""

_LENGTH = frozenset({"length", "max_tokens", "MAX_TOKENS"})
_FILTER = frozenset({"content_filter", "refusal", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST", "RECITATION"})
_STOP = frozenset({"stop_sequence"})
_FATAL_STATUS = (401, 402, 403, 404)


class LangChainModel:
    """A LangChain chat model; each sample is a request of its own.

    Tokens are the provider's `usage_metadata`; without it, UTF-8 bytes and one for the end, an upper bound, so that a
    budget still holds. Seeds are not sent: few providers take one.

    Args:
        model: any `BaseChatModel`.
        name: identity; by default `langchain:` with the class's and the model's own name.
        max_concurrency: requests at the same time (≥ 1).
        price: dollars per million tokens; without one, a budget in dollars is refused. In a spec, `price=3,15`.
        continue_final: whether the provider continues an assistant's last turn instead of answering it.
        limit_key: the provider's keyword for the token limit.

    Raises:
        UserError: if `max_concurrency` is below 1.
    """

    def __init__(
        self,
        model: BaseChatModel,
        *,
        name: str | None = None,
        max_concurrency: int = 16,
        price: Price | None = None,
        continue_final: bool = False,
        limit_key: str = "max_tokens",
    ) -> None:
        check_least(1, max_concurrency=max_concurrency)
        self._model = model
        self._name = name or _default_name(model)
        self._concurrency = max_concurrency
        self._price = price
        self._continues = continue_final
        self._limit_key = limit_key

    @property
    def name(self) -> str:
        return self._name

    @property
    def chat(self) -> bool:
        return True

    @property
    def limits(self) -> Limits:
        return Limits(batch=1, concurrency=self._concurrency)

    @property
    def price(self) -> Price:
        return self._price or Price()

    @property
    def priced(self) -> bool:
        """See `base.knows_price`."""
        return self._price is not None

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer the calls at the same time.

        Raises:
            ModelUnavailableError: if the provider reports a bad key, a spent quota or an unknown model.
        """
        return list(await asyncio.gather(*(self._answer(call) for call in calls)))

    async def _answer(self, call: GenerationCall) -> Generation | ModelError:
        if isinstance(call.prompt, str):
            return ModelError(
                f"{self._name} takes chat turns and was given raw text; use a generator for chat models"
            )
        if continues_assistant(call) and not self._continues:
            return ModelError(
                f"{self._name} cannot continue an assistant's turn; set continue_final=True if it can"
            )
        messages = [_message(turn) for turn in call.prompt]
        try:
            replies = await asyncio.gather(*(self._ask(messages, call) for _ in range(call.n)))
        except ModelUnavailableError:
            raise
        except ModelError as error:
            return error
        prompts = [_usage(reply, "input_tokens") for reply in replies]
        bound = prompt_token_bound(call.prompt)
        return Generation(
            tuple(_sample(reply, call) for reply in replies),
            prompt_tokens=sum(bound if tokens is None else tokens for tokens in prompts),
        )

    async def _ask(self, messages: list[BaseMessage], call: GenerationCall) -> AIMessage:
        sampling = call.sampling
        options: dict[str, Any] = {"temperature": sampling.temperature, self._limit_key: sampling.max_tokens}
        if sampling.top_p != 1.0:
            options["top_p"] = sampling.top_p
        if sampling.min_p > 0.0:
            raise ModelError(f"{self.name} does not take min_p; leave it out")
        try:
            return await self._model.ainvoke(messages, stop=list(sampling.stop) or None, **options)
        except (
            Exception
        ) as error:  # providers share no exception tree; the status is what they have in common
            raise _classified(self._name, error) from error


def load_langchain(
    spec: str, *, price: Price | None = None, max_concurrency: int = 16, **options: Any
) -> LangChainModel:
    """Return the model of a spec `provider:NAME`, built by `langchain`, or by the provider's own package.

    Args:
        spec: what follows `langchain:`, such as `anthropic:claude-sonnet-4-5`.
        price: dollars per million tokens.
        max_concurrency: requests at the same time.
        options: keyword arguments of the provider's class.

    Raises:
        UserError: if the spec names no provider, or its package is not installed.
    """
    provider, colon, model = spec.partition(":")
    if not colon or not model:
        raise UserError(f"'langchain:{spec}' names no provider; write langchain:PROVIDER:NAME")
    try:
        chat = _build(provider, model, options)
    except (ImportError, ValueError, TypeError) as error:
        raise UserError(f"cannot build 'langchain:{spec}': {shorten(str(error))}") from error
    return LangChainModel(chat, name=f"langchain:{spec}", price=price, max_concurrency=max_concurrency)


def _build(provider: str, model: str, options: Mapping[str, Any]) -> BaseChatModel:
    if importlib.util.find_spec("langchain") is not None:
        init: Any = importlib.import_module("langchain.chat_models").init_chat_model
        return init(model, model_provider=provider, **options)
    if provider not in PROVIDERS:
        known = ", ".join(sorted(PROVIDERS))
        raise UserError(
            f"provider {provider!r} needs langchain; pip install langchain, or use one of: {known}"
        )
    module, cls = PROVIDERS[provider]
    if importlib.util.find_spec(module) is None:
        raise UserError(f"provider {provider!r} needs its package; pip install {module.replace('_', '-')}")
    return getattr(importlib.import_module(module), cls)(model=model, **options)


def _default_name(model: BaseChatModel) -> str:
    own: Any = getattr(model, "model_name", None) or getattr(model, "model", None)
    return f"langchain:{type(model).__name__}" + (f":{own}" if own else "")


def _message(turn: Message) -> BaseMessage:
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return kinds[turn.role](content=clean(turn.content))


def _usage(reply: AIMessage, key: str) -> int | None:
    usage: Any = reply.usage_metadata
    return None if usage is None else int(usage[key])


def _sample(reply: AIMessage, call: GenerationCall) -> Sample:
    metadata: Mapping[str, Any] = reply.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason") or metadata.get("done_reason")
    text, stopped = cut_at_stop(clean(str(reply.text)), call.sampling.stop)
    tokens = _usage(reply, "output_tokens")
    finish: Finish = "end"
    if stopped or reason in _STOP or (reason == "stop" and call.sampling.stop):
        finish = "stop"
    elif reason in _LENGTH or (reason is None and tokens is not None and tokens >= call.sampling.max_tokens):
        finish = "length"
    elif reason in _FILTER:
        finish = "filter"
    report: Any = metadata.get("logprobs")
    rows: list[Mapping[str, Any]] | None = (
        cast("Any", report).get("content") if isinstance(report, dict) else None
    )
    logprobs = clean_logprobs([row.get("logprob") for row in rows]) if rows else None
    return Sample(text, finish, token_bound(text) if tokens is None else tokens, logprobs=logprobs)


def _classified(name: str, error: Exception) -> ModelError:
    status: Any = getattr(error, "status_code", None)
    text = f"{type(error).__name__}: {shorten(str(error))}"
    if status in _FATAL_STATUS or getattr(error, "code", None) == "insufficient_quota":
        return ModelUnavailableError(f"{name} is not available ({text}); mend key, quota or name and resume")
    return ModelError(f"{name} failed ({text}); resume to try again")
