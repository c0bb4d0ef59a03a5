"""A model that answers from the record of an earlier run, so the run can be stepped through without paying again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...graph.errors import ModelError
from .base import Generation, GenerationCall, Limits, Price
from .text import shorten


class ReplayModel:
    """Answers each call with what was recorded for a call of the same id.

    Args:
        names: name of the recorded model, or of all models of the run; a call is looked up under each in turn, and
            the first is this model's own name, so thoughts get the addresses they had.
        recorded: generations by call id (`GenerationCall.id(name)`); any mapping, one that reads a store lazily too.
        chat: whether the recorded model took chat turns.
        unique: whether it drew without replacement.
        continues: whether it went on with turns of its own.
        reasons: whether it thought before it answered.
    """

    def __init__(
        self,
        names: str | Sequence[str],
        recorded: Mapping[str, Generation],
        *,
        chat: bool = False,
        unique: bool = False,
        continues: bool = False,
        reasons: bool = False,
    ) -> None:
        self._names = (names,) if isinstance(names, str) else tuple(names)
        if not self._names:
            raise ValueError("a replay needs the name of the recorded model")
        self._recorded = recorded
        self._chat = chat
        self._unique = unique
        self._continues = continues
        self._reasons = reasons

    @property
    def name(self) -> str:
        return self._names[0]

    @property
    def chat(self) -> bool:
        return self._chat

    @property
    def unique(self) -> bool:
        return self._unique

    @property
    def continues(self) -> bool:
        return self._continues

    @property
    def reasons(self) -> bool:
        return self._reasons

    @property
    def limits(self) -> Limits:
        return Limits(batch=256)

    @property
    def price(self) -> Price:
        return Price()

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Return the recorded generations; a call that was never made is a `ModelError`."""
        return [self._find(call) for call in calls]

    def _find(self, call: GenerationCall) -> Generation | ModelError:
        for name in self._names:
            found = self._recorded.get(call.id(name))
            if found is not None:
                return found
        prompt = call.prompt if isinstance(call.prompt, str) else call.prompt[-1].content
        return ModelError(
            f"the replay diverged from its record: no call {call.id(self.name)} to {self.name} with the prompt "
            f"{shorten(prompt, 80)!r}; replay with the settings and the version that made the run"
        )
