"""Whether a search can go step by step: a turn that is gone on with, and an end at the stop string."""

from __future__ import annotations

import re

from ..base import Message, Sample, continues_turns, reasons_first
from ..text import prompt_token_bound
from .asking import COUNTING, PUZZLE, Asker, Finding, Prompt, quoted

ASK = "have it asked for each step (--stepping ask)"
_AGAIN = re.compile(r"\W*(?:one|1)\b", re.IGNORECASE)


async def check_continuation(asker: Asker) -> Finding:
    """Whether a text or an assistant's turn is gone on with exactly where it ends."""
    model = asker.model
    if not model.chat:
        return await _check_text(asker)
    if continues_turns(model):
        return await _check_turn(asker)
    if reasons_first(model):
        why = "it thinks before it answers"
    else:
        why = "not known to; for a server that can, write ?continue_final=true"
    return Finding(
        "continuation", "note", f"{why}: it is asked for each step (--stepping ask), in a prompt of its own"
    )


async def _check_text(asker: Asker) -> Finding:
    """Check raw text: some servers strip it, or put a chat template around it."""
    bare, line = await asker.ask(PUZZLE.rstrip(), tokens=1), await asker.ask(PUZZLE, tokens=1)
    if line.prompt_tokens > prompt_token_bound(PUZZLE):
        return Finding(
            "continuation",
            "note",
            f"{line.prompt_tokens} tokens were read for a text of {len(PUZZLE)} characters: the server puts something around it, maybe a chat "
            "template, so texts are not continued as they stand; ask it as a chat",
        )
    if bare.prompt_tokens == line.prompt_tokens:
        return Finding(
            "continuation",
            "note",
            "the line end of a text gets lost, so a step may run into the one before it",
        )
    return Finding("continuation", "ok", "raw text is continued where it ends")


async def _check_turn(asker: Asker) -> Finding:
    """Check a chat turn.

    Templates that strip a turn's end make the prompts of `one` and `one` with a line end equally long, and have the model begin with the line end. A server
    that begins a new turn begins the count anew, or goes on with the next word; half a word is gone on with in the same turn only.
    """

    def begun(text: str) -> Prompt:
        return (*COUNTING, Message("assistant", text))

    word, line = await asker.ask(begun("one"), tokens=1), await asker.ask(begun("one\n"), tokens=1)
    lines, half = [
        (await asker.ask(begun(text), tokens=8)).samples[0].text
        for text in ("one\ntwo\nthree\n", "one\ntwo\nthr")
    ]
    told = word.prompt_tokens != prompt_token_bound(begun("one"))
    if (told and word.prompt_tokens == line.prompt_tokens) or lines.startswith("\n"):
        return Finding(
            "continuation",
            "note",
            f"the line end of a turn gets lost, by its chat template or on the way; {ASK}",
        )
    if _AGAIN.match(lines) or _AGAIN.match(half):
        return Finding(
            "continuation", "note", f"an unfinished turn is answered anew, with {quoted(lines)}; {ASK}"
        )
    if half.startswith("ee"):
        return Finding("continuation", "ok", f"a turn that ends with 'thr' goes on with {quoted(half)}")
    return Finding(
        "continuation",
        "note",
        f"cannot be told: a turn that ends with 'thr' goes on with {quoted(half)}; unless it is a small model, {ASK}",
    )


async def check_stops(asker: Asker) -> Finding:
    """Whether generation ends at a stop string: of one character, of several, and in each of several samples."""
    whole = asker.sample.text
    stops = choose_stops(whole)
    if not stops:
        return Finding(
            "stops", "note", f"cannot be tried: too little text without stop strings, {quoted(whole)}"
        )
    written = 0
    for stop in stops:
        sample = (await asker.ask(asker.question, stop=(stop,))).samples[0]
        if wrong := _misread(sample, stop, whole):
            return Finding("stops", "problem", wrong)
        written = max(written, _overrun(sample, stop, asker.sample))
    # not greedy: servers refuse several samples then
    many = await asker.ask(asker.question, temperature=0.2, n=2, seed=3, stop=(stops[0],))
    for sample in many.samples:
        if stops[0] in sample.text:
            return Finding("stops", "problem", _inside(stops[0], "with n=2, "))
        written = max(written, _overrun(sample, stops[0]))
    if written:
        return Finding(
            "stops",
            "note",
            f"the model writes on after a stop string ({written} tokens here), which is cut off: each step is paid for at its whole length",
        )
    told = " and ".join(map(repr, stops))
    return Finding("stops", "ok", f"ends at {told}, and in each of two samples")


def choose_stops(text: str) -> tuple[str, ...]:
    """Return a stop string of one character and one of several, which a text has in its middle; none if it is too short."""
    body = text.rstrip()
    inner = [i for i in range(1, len(body) - 3) if body[i] not in body[:i]]
    if len(body) < 8 or not inner:
        return ()
    lines = [i for i in inner if body[i] == "\n"]
    single = body[(lines or [min(inner, key=lambda i: abs(i - len(body) // 2))])[0]]
    middle = len(body) // 2
    return single, body[middle : middle + 3]


def _misread(sample: Sample, stop: str, whole: str) -> str | None:
    """Return what is wrong with a sample that should end before a stop string; one that is another text than before says nothing."""
    if stop in sample.text:
        return _inside(stop)
    if sample.text == whole.partition(stop)[0] and sample.finish != "stop":
        return (
            f"a text that was ended by {stop!r} comes back as finished by {sample.finish!r}: every step would count as the end of its solution; "
            "use a server that tells why a text ended"
        )
    return None


def _inside(stop: str, when: str = "") -> str:
    return f"{when}the text goes on after the stop string {stop!r}, so steps cannot be told apart; use a server that takes stop strings"


def _overrun(sample: Sample, stop: str, unstopped: Sample | None = None) -> int:
    """Return how many tokens were generated after a stop string (≥ 0), as far as is told."""
    if sample.pieces is None:
        return sample.tokens if unstopped is not None and sample.tokens >= unstopped.tokens else 0
    end = "".join(sample.pieces).find(stop) + len(stop)
    if end < len(stop):
        return 0
    starts = [0]
    for piece in sample.pieces:
        starts.append(starts[-1] + len(piece))
    return sum(1 for start in starts[:-1] if start >= end)
