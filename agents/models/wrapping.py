"""What a model in front of another one says of itself: all that the other says."""

from __future__ import annotations

from .base import (
    LanguageModel,
    Limits,
    Price,
    continues_turns,
    draws_unique,
    knows_price,
    make_ready,
    reasons_first,
    tells_alternatives,
)


class WrappingModel:
    """The properties of a `LanguageModel`, those of `inner`; a subclass says how it generates."""

    def __init__(self, inner: LanguageModel) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def chat(self) -> bool:
        return self._inner.chat

    @property
    def unique(self) -> bool:
        return draws_unique(self._inner)

    @property
    def continues(self) -> bool:
        return continues_turns(self._inner)

    @property
    def reasons(self) -> bool:
        return reasons_first(self._inner)

    @property
    def alternatives(self) -> bool:
        return tells_alternatives(self._inner)

    @property
    def limits(self) -> Limits:
        return self._inner.limits

    @property
    def price(self) -> Price:
        return self._inner.price

    @property
    def priced(self) -> bool:
        return knows_price(self._inner)

    async def ready(self) -> None:
        """See `make_ready`."""
        await make_ready(self._inner)
