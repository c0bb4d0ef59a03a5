r"""Models that answer from a script: for tests, examples and benchmarks of search, with no weights and no network.

    ScriptedModel(["first answer", "second answer"])              # consumed in order
    ScriptedModel({"4 5 6 10 -> 24\n": ["4 * 5 = 20 (left: 6 10 20)"]})   # by prompt
    ScriptedModel(lambda call: [str(i) for i in range(call.n)])   # by function

The mapping and the function do not depend on the order in which calls arrive, so a lockstep run of one problem and
of eight give the same; the list does.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from ...graph.errors import ModelError, ModelUnavailableError, UserError
from .base import Finish, Generation, GenerationCall, Limits, Message, Price, Sample, ScoreKind, Trace
from .text import cut_at_stop, shorten

Output = str | Sample
"""A text, cut and counted like a real model's; or a whole sample, returned as it is."""
Script = Sequence[Output] | Mapping[str, Sequence[Output]] | Callable[[GenerationCall], Sequence[Output]]

_FORM = 'lines like {"prompt": "…", "outputs": ["…"]}'
"""How messages show what a script file holds."""


class ScriptedModel:
    """Answers from a list, a mapping of prompts, or a function.

    A text ends before the first stop string (finish `stop`) or after `max_tokens` words (finish `length`); otherwise
    its finish is `end`. Tokens are words between white space.

    Args:
        script: outputs consumed in order; or, by prompt (of a chat: the last turn's content), the outputs of samples
            0, 1, 2, …; or a function that returns exactly `call.n` outputs and may raise `ModelError`.
        name: identity; give scripts that differ names that differ.
        chat: whether it takes chat turns.
        limits: what the scheduler sees.
        price: what the budget sees.

    Attributes:
        asked: every call so far, in order of arrival.
    """

    def __init__(
        self,
        script: Script,
        *,
        name: str = "scripted",
        chat: bool = False,
        limits: Limits | None = None,
        price: Price | None = None,
    ) -> None:
        if isinstance(script, str):
            raise UserError(
                "a script is a list of outputs, a mapping or a function, not a string; write ['…']"
            )
        self._answer = _answerer(script)
        self._name = name
        self._chat = chat
        self._limits = limits or Limits(batch=64, concurrency=4)
        self._price = price or Price()
        self.asked: list[GenerationCall] = []

    @classmethod
    def from_file(cls, path: str | Path, *, chat: bool = False) -> Self:
        """Read a script: JSON or JSON lines.

        The file holds objects `{"prompt": …, "outputs": […]}`, or the same without prompts to be consumed in order;
        a JSON file may also be one list of outputs or one object of outputs by prompt.

        Raises:
            UserError: if the file is missing or not a script.
        """
        path = Path(path)
        try:
            data = path.read_bytes()
            script = _read_script(data.decode("utf-8"), lines=path.suffix == ".jsonl")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise UserError(
                f"cannot read the script {str(path)!r} ({reason}); give a file of {_FORM}"
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(f"{str(path)!r} is not a script ({error}); write {_FORM}") from error
        return cls(
            script, name=f"scripted:{path.stem}@{hashlib.blake2b(data, digest_size=5).hexdigest()}", chat=chat
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def chat(self) -> bool:
        return self._chat

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def price(self) -> Price:
        return self._price

    async def generate(self, calls: Sequence[GenerationCall]) -> list[Generation | ModelError]:
        """Answer from the script.

        Raises:
            ModelUnavailableError: if the script has no output left for a prompt, which it names.
        """
        return [self._generate(call) for call in calls]

    def _generate(self, call: GenerationCall) -> Generation | ModelError:
        self.asked.append(call)
        try:
            outputs = self._answer(call)
        except ModelUnavailableError:
            raise
        except ModelError as error:
            return error
        if len(outputs) != call.n:
            raise ModelUnavailableError(
                f"the script gave {len(outputs)} of {call.n} outputs for the prompt {shorten(prompt_key(call), 80)!r}; "
                "add outputs to the script"
            )
        words = sum(len(text.split()) for text in _texts(call.prompt))
        return Generation(tuple(_sample(output, call) for output in outputs), prompt_tokens=words)


class ScriptedScorer:
    """Scores from a function of the trace or a mapping of step texts.

    Args:
        script: a function that returns a score a step, or the score of each step text. What it gives is passed on
            unchecked, NaN included, so that error paths can be tested; a `ModelError` it raises is that trace's error.
        name: identity.
        limits: what the scheduler sees.
        kind: what its scores mean.

    Attributes:
        asked: every trace so far, in order of arrival.
    """

    def __init__(
        self,
        script: Callable[[Trace], Sequence[float]] | Mapping[str, float],
        *,
        name: str = "scripted-scorer",
        limits: Limits | None = None,
        kind: ScoreKind = "step",
    ) -> None:
        self._script = script
        self._name = name
        self._kind: ScoreKind = kind
        self._limits = limits or Limits(batch=64)
        self.asked: list[Trace] = []

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> Limits:
        return self._limits

    @property
    def kind(self) -> ScoreKind:
        return self._kind

    async def score(self, traces: Sequence[Trace]) -> list[list[float] | ModelError]:
        """Score from the script, of a `newest` trace the last step; a step that it does not know is that trace's `ModelError`."""
        return [self._score(trace) for trace in traces]

    def _score(self, trace: Trace) -> list[float] | ModelError:
        self.asked.append(trace)
        script = self._script
        try:
            if not isinstance(script, Mapping):
                scores = list(script(trace))
                return scores[-1:] if trace.newest else scores
            return [script[step] for step in (trace.steps[-1:] if trace.newest else trace.steps)]
        except ModelError as error:
            return error
        except KeyError as error:
            return ModelError(f"the script has no score for the step {error}; add it to the mapping")


def prompt_key(call: GenerationCall) -> str:
    """Return what a mapping script is asked for: the raw prompt, or the content of the last chat turn."""
    return _texts(call.prompt)[-1]


def _texts(prompt: str | tuple[Message, ...]) -> list[str]:
    return [prompt] if isinstance(prompt, str) else [turn.content for turn in prompt]


def _answerer(script: Script) -> Callable[[GenerationCall], Sequence[Output]]:
    if isinstance(script, Mapping):
        table = cast("Mapping[str, Sequence[Output]]", script)
        return lambda call: table.get(prompt_key(call), ())[call.first_sample : call.first_sample + call.n]
    if callable(script):
        return script
    rest = iter(tuple(script))
    return lambda call: [output for _, output in zip(range(call.n), rest, strict=False)]


def _sample(output: Output, call: GenerationCall) -> Sample:
    if isinstance(output, Sample):
        return output
    text, stopped = cut_at_stop(output, call.sampling.stop)
    finish: Finish = "stop" if stopped else "end"
    pieces = re.findall(r"\s*\S+(?:\s+$)?", text) or [text]
    if len(pieces) > call.sampling.max_tokens:
        pieces, finish = pieces[: call.sampling.max_tokens], "length"
    return Sample("".join(pieces), finish, len(pieces), pieces=tuple(pieces))


def _read_script(text: str, *, lines: bool) -> Script:
    value: Any = (
        [json.loads(line) for line in text.splitlines() if line.strip()] if lines else json.loads(text)
    )
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value)
        if "outputs" not in entries:
            return {prompt: _outputs(outputs) for prompt, outputs in entries.items()}
        value = [entries]
    if not isinstance(value, list):
        raise TypeError("neither a list nor an object")
    rows = cast("list[Any]", value)
    if all(isinstance(row, str) for row in rows):
        return rows
    return _by_prompt(rows)


def _by_prompt(rows: Iterable[Mapping[str, Any]]) -> Script:
    table: dict[str, list[str]] = {}
    order: list[str] = []
    for row in rows:
        prompt = row.get("prompt")
        (order if prompt is None else table.setdefault(str(prompt), [])).extend(_outputs(row["outputs"]))
    if table and order:
        raise ValueError("some entries have a prompt and some have none")
    return table or order


def _outputs(value: Any) -> list[str]:
    outputs = cast("list[Any]", [value] if isinstance(value, str) else value)
    if not all(isinstance(output, str) for output in outputs):
        raise TypeError("outputs must be strings")
    return outputs
