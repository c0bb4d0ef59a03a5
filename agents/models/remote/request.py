"""What a server is asked, in its own dialect: which parameters it takes is found out by asking, not by its name."""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import dataclass, field
from typing import Any

import orjson

from ....graph.ids import derive_seed
from ..base import GenerationCall
from ..text import clean, continues_assistant, prompt_token_bound
from .faults import Fault

_log = logging.getLogger(__name__)

_OPTIONAL = ("logprobs", "return_token_ids", "seed", "add_generation_prompt", "chat_template_kwargs")
"""Parameters without which an answer is still what was asked for; it is only recorded with less."""


_LONE_CHOICES = 3
"""Replies in a row with a single choice after which a server is taken to know no `n`."""


@dataclass(slots=True)
class Dialect:
    """How a server takes requests, as far as it is known; refusals teach more."""

    model: str
    completions: bool
    """Whether raw text is continued, instead of chatting."""
    continues: bool
    """Whether it can continue an assistant's last turn."""
    limit_key: str = "max_tokens"
    thinking: bool | None = None
    """What the chat template is told about thinking; None: nothing."""
    without: set[str] = field(default_factory=set[str])
    """Optional parameters that are not sent."""
    lone_choices: int = 0
    """Replies in a row that had one choice where several were asked for."""
    context: int = 0
    """Tokens that prompt and answer may have together, as a refusal told; 0 while none did."""
    density: float = 0.0
    """Most tokens that a refused prompt had, as a share of its `prompt_token_bound`."""

    @property
    def one_by_one(self) -> bool:
        """Whether it gives one choice, whatever `n` says; a single such reply may be an accident."""
        return self.lone_choices >= _LONE_CHOICES

    def count(self, asked: int, got: int) -> None:
        """Learn from the number of choices in a reply."""
        if asked > 1:
            self.lone_choices = self.lone_choices + 1 if got == 1 else 0

    def measure(self, call: GenerationCall, fault: Fault) -> None:
        """Learn from a refusal of the kind `context`."""
        if fault.context:
            self.context = fault.context
            prompt = (fault.context - fault.room) / prompt_token_bound(call.prompt)
            self.density = max(self.density, prompt)

    def limit(self, call: GenerationCall) -> int:
        """Return how many tokens to ask for: as many as the call wants, unless no prompt would leave so many.

        What this prompt leaves is then reckoned from the densest one that was refused; a server that finds even that too much tells the room.
        """
        wanted = call.sampling.max_tokens
        if not 0 < self.context <= wanted:
            return wanted
        left = self.context - math.ceil(self.density * prompt_token_bound(call.prompt))
        return left if left > 0 else wanted

    @property
    def path(self) -> str:
        return "/completions" if self.completions else "/chat/completions"

    def write(self, call: GenerationCall, limit: int) -> bytes:
        """Return the body of the request for answers of at most `limit` tokens."""
        sampling = call.sampling
        body: dict[str, Any] = {
            "model": self.model,
            "n": call.n,
            "temperature": sampling.temperature,
            self.limit_key: limit,
            # servers differ above 31 bits
            "seed": derive_seed(call.seed, call.first_sample) & 0x7FFFFFFF,
            "logprobs": max(1, sampling.alternatives) if self.completions else True,
            "return_token_ids": True,
        }
        if sampling.top_p != 1.0:
            body["top_p"] = sampling.top_p
        if sampling.min_p > 0.0:
            body["min_p"] = sampling.min_p
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.alternatives and not self.completions:
            body["top_logprobs"] = sampling.alternatives
        if isinstance(call.prompt, str):
            body["prompt"] = clean(call.prompt)
        else:
            body["messages"] = [{"role": turn.role, "content": clean(turn.content)} for turn in call.prompt]
            if self.thinking is not None:
                body["chat_template_kwargs"] = {"enable_thinking": self.thinking}
            if continues_assistant(call):
                body |= {"add_generation_prompt": False, "continue_final_message": True}
        for key in self.without:
            body.pop(key, None)
        try:
            return orjson.dumps(body)
        except TypeError:  # a stop string or a name with a lone surrogate
            return json.dumps(body).encode()

    def learn(self, name: str, fault: Fault, sent: bytes) -> bool:
        """Learn from a refusal that names a parameter; return whether to ask again.

        Args:
            name: of the model, for the log.
            fault: of the kind `refused`, `garbled` or `unsupported`.
            sent: the body that was refused.
        """
        asked: dict[str, Any] = json.loads(sent)
        if self.limit_key == "max_tokens" and _names("max_completion_tokens", fault.told):
            self.limit_key = "max_completion_tokens"
        if "continue_final_message" in asked and _names("continue_final_message", fault.told):
            self.continues = False
            return False
        optional = {key for key in _OPTIONAL if key in asked}
        named = {key for key in optional if _names(key, fault.told)}
        if len(named) > 2:  # it quotes the whole request
            return False
        for key in named - self.without:
            self.without.add(key)
            _log.warning("%s does not take %r; asking without it from now on (%s)", name, key, fault)
        return bool(named) or self.limit_key not in asked


def _names(parameter: str, told: str) -> bool:
    return re.search(rf"(?<!\w){parameter}(?!\w)", told) is not None
