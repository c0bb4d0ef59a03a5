"""Whether samples repeat with their seeds, differ without, and come several at a time."""

from __future__ import annotations

from .asking import Asker, Finding, quoted, said

_MANY = 4


async def check_seeds(asker: Asker) -> Finding:
    """Whether a seed gives the same sample again, alone and as the first of several, and another seed another one."""
    prompt = asker.open_question
    first, again, other, third = [
        said((await asker.ask(prompt, temperature=1.0, seed=seed)).samples[0]) for seed in (11, 11, 12, 13)
    ]
    beside = said((await asker.ask(prompt, temperature=1.0, n=2, seed=11)).samples[0])
    if len({first, again, other, third, beside}) == 1:
        return Finding(
            "seeds",
            "note",
            f"all samples at temperature 1 are {quoted(first)}: the temperature or the seeds are ignored, so a search finds nothing new",
        )
    if first != again:
        return Finding(
            "seeds",
            "note",
            "not honoured: the same seed gives other samples, so runs do not repeat; compare means over several of them",
        )
    if first in (other, third) and other == third:
        return Finding(
            "seeds",
            "note",
            "other seeds give the same sample, so a search that draws one by one finds nothing new",
        )
    if beside != first:
        return Finding(
            "seeds",
            "note",
            "honoured, but the first of several samples differs from one alone: runs repeat only where --mode lockstep asks the same",
        )
    return Finding(
        "seeds",
        "ok",
        "the same seed gives the same sample, alone and as the first of several; another one another",
    )


async def check_samples(asker: Asker) -> Finding:
    """Whether several samples come from one request, each another one, and what the prompt costs then."""
    prompt = asker.open_question
    many = await asker.ask(prompt, temperature=1.0, n=_MANY, seed=21)
    alone = await asker.ask(prompt, tokens=1, temperature=1.0, seed=21)
    texts = {said(sample) for sample in many.samples}
    if len(texts) == 1:
        return Finding(
            "samples",
            "note",
            f"{_MANY} samples of one request are all the same, so a search finds nothing new with them",
        )
    detail = f"{_MANY} samples of one request, {len(texts)} of them different"
    if many.prompt_tokens >= 2 * alone.prompt_tokens:
        return Finding(
            "samples",
            "note",
            f"{detail}, but the prompt is billed {many.prompt_tokens / alone.prompt_tokens:.0f} times: it is asked for each sample (the server ignores n) "
            "or counted so; a search costs more and is slower",
        )
    return Finding("samples", "ok", f"{detail}; the prompt is read once")


async def check_min_p(asker: Asker) -> Finding:
    """Whether unlikely tokens can be kept out of the draw."""
    await asker.ask(asker.open_question, tokens=4, temperature=1.0, min_p=0.1)
    return Finding("min_p", "ok", "accepted")
