"""Chat turns as tokens, by the template that lies with a tokenizer.

A last turn by the assistant is continued: its text follows what the template writes before an answer, as it stands. Templates themselves write turns of the
past, and many of them strip the white space at their ends, or put an empty block of thoughts before them. Written this way, what follows a step has the prompt
of that step and the step itself as its beginning, so that an engine's prefix cache finds it, and it is what the model saw while it wrote the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from ....graph.errors import ModelError, ModelUnavailableError, UserError
from ..base import Message
from ..reasoning import opens_thoughts

_SWITCH = "enable_thinking"
"""What templates of models that can think or not call the choice."""
_QUESTION = (Message("user", "?"),)


class ChatTemplate:
    """The chat template of a tokenizer.

    Args:
        name: of the model, for messages.
        tokenizer: a transformers tokenizer.
        reasons: False asks the template for an answer without thoughts; None leaves it to the template; True says that the model thinks first
            although its template does not tell.

    Attributes:
        reasons: whether the model thinks before it answers: the template opens its thoughts, or lets it think unless told not to.

    Raises:
        ModelUnavailableError: if there is no template.
        UserError: if the template has the model think whatever it is told.
    """

    def __init__(self, name: str, tokenizer: Any, reasons: bool | None = None) -> None:
        if not tokenizer.chat_template:
            raise ModelUnavailableError(
                f"{name} has no chat template, so it only continues raw text; load it with chat=false"
            )
        self._name = name
        self._tokenizer = tokenizer
        self._options = {} if reasons is None else {_SWITCH: reasons}
        asked = self._write(_QUESTION)
        self._opens = opens_thoughts(asked)
        if self._opens and reasons is False:
            raise UserError(
                f"the chat template of {name} has it think whatever it is told; leave out reasons=false"
            )
        on, off = (self._write(_QUESTION, {_SWITCH: choice}) for choice in (True, False))
        self.reasons = self._opens or (asked == on != off if reasons is None else reasons)

    @property
    def continues(self) -> bool:
        """Whether an assistant's turn is gone on with from its end; thoughts would have no place there."""
        return not self.reasons

    def encode(self, turns: Sequence[Message]) -> tuple[int, ...]:
        """Return the tokens of a prompt that an answer follows, or, where the last turn is the assistant's, the rest of it.

        Raises:
            ModelError: if the template refuses the turns, or a turn is to be continued that has to begin with thoughts.
        """
        last = turns[-1]
        if last.role != "assistant":
            text = self._write(turns)
        elif self._opens:
            raise ModelError(
                f"{self._name} thinks before it answers, so its turn cannot be continued; ask it for each step (--stepping ask)"
            )
        else:
            text = self._write(turns[:-1]) + last.content
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))

    def _write(self, turns: Sequence[Message], options: Mapping[str, bool] | None = None) -> str:
        try:
            return self._tokenizer.apply_chat_template(
                [{"role": turn.role, "content": turn.content} for turn in turns],
                add_generation_prompt=True,
                tokenize=False,
                **(self._options if options is None else options),
            )
        except (TemplateError, ValueError) as error:
            roles = ", ".join(turn.role for turn in turns)
            raise ModelError(
                f"the chat template of {self._name} refuses the turns {roles}: {error}"
            ) from error


class Templated:
    """What a model says of itself by its chat template; a subclass sets `_template`."""

    _template: ChatTemplate | None
    """None where it continues raw text."""

    @property
    def chat(self) -> bool:
        return self._template is not None

    @property
    def continues(self) -> bool:
        """Whether it goes on with an assistant's last turn."""
        return self._template is not None and self._template.continues

    @property
    def reasons(self) -> bool:
        """Whether it thinks before it answers."""
        return self._template is not None and self._template.reasons
