"""Sampling without replacement: the law of what is drawn, in what order, and what it costs.

The models are real ones whose vocabulary is a few characters, so that the probability of every sample can be had by enumeration.
"""

import asyncio
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from thoughtgraph.agents.models.base import (
    Generation,
    GenerationCall,
    Message,
    Sample,
    Sampling,
    draws_unique,
)
from thoughtgraph.agents.models.codec import generation_from_json, generation_to_json
from thoughtgraph.agents.models.inprocess.distinct import Node, Trie
from thoughtgraph.agents.models.inprocess.hf import HFModel
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.replay import ReplayModel
from thoughtgraph.agents.models.scheduler import Scheduler
from thoughtgraph.agents.models.scripted import ScriptedModel
from thoughtgraph.graph.errors import ModelError

# transformers is partly untyped
Model: Any = LlamaForCausalLM
Config: Any = LlamaConfig

CHARACTERS = ("<eos>", "a", "b", "c", "d")
"""Every text is one sequence of these, if only the end token ends it."""
SPELLINGS = ("<eos>", "\n", "a", "b", "c", " ", "ab", "bc", "c\n")
"""Some texts are several sequences of these, and surrounding white space does not count."""


def make(folder: Path, vocabulary: tuple[str, ...], seed: int = 0, batch: int = 512) -> HFModel:
    """A model that reads character by character, and may write longer tokens."""
    tokenizer: Any = Tokenizer(models.WordLevel({text: i for i, text in enumerate(vocabulary)}))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast: Any = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<eos>", eos_token="<eos>")
    torch.manual_seed(seed)  # pyright: ignore[reportUnknownMemberType]
    model = Model(
        Config(
            vocab_size=len(vocabulary),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=24,
            initializer_range=0.3,  # wide, so that distributions are far from uniform
            eos_token_id=0,
            pad_token_id=0,
            bos_token_id=None,
        )
    )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return HFModel(folder, device="cpu", batch=batch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make(tmp_path_factory.mktemp("characters"), CHARACTERS)


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    return make(tmp_path_factory.mktemp("spellings"), SPELLINGS, seed=3)


SAMPLING = Sampling(3, temperature=1.3, min_p=0.15)


def call(
    n: int = 3,
    prompt: str = "ab",
    seed: int = 0,
    *,
    unique: bool = True,
    avoid: tuple[str, ...] = (),
    **sampling: Any,
) -> GenerationCall:
    return GenerationCall(prompt, replace(SAMPLING, **sampling), n, seed, unique=unique, avoid=avoid)


async def ask(model: HFModel, *calls: GenerationCall) -> list[Generation]:
    results = await model.generate(calls)
    assert all(isinstance(result, Generation) for result in results), results
    return [result for result in results if isinstance(result, Generation)]


def real(generation: Generation) -> list[Sample]:
    return [sample for sample in generation.samples if sample.finish != "filter"]


class Known(NamedTuple):
    """A sample as enumeration finds it."""

    text: str
    whole: bool
    probability: float
    loss: float
    """Log-probability lost against the likeliest tokens."""


def distribution(model: HFModel, ids: Sequence[int], sampling: Sampling) -> tuple[list[float], list[float]]:
    """The sampling distribution after these tokens, written down independently, and the natural log-probabilities."""
    with torch.inference_mode():
        logits: list[float] = (
            model.module(input_ids=torch.tensor([list(ids)])).logits[0, -1].double().tolist()
        )
    top = max(logits)
    norm = top + math.log(sum(math.exp(x - top) for x in logits))
    allowed = [x if math.exp(x - top) >= sampling.min_p else -math.inf for x in logits]
    heat = sampling.temperature or 1.0
    weights = [math.exp((x - top) / heat) for x in allowed]
    shares = [w / sum(weights) for w in weights]
    if sampling.top_p < 1.0:
        kept: set[int] = set()
        for token in sorted(range(len(shares)), key=lambda t: -shares[t]):
            if sum(shares[t] for t in kept) < sampling.top_p:
                kept.add(token)
        shares = [share if t in kept else 0.0 for t, share in enumerate(shares)]
        shares = [share / sum(shares) for share in shares]
    return shares, [x - norm for x in logits]


def enumerate_all(model: HFModel, asked: GenerationCall) -> dict[tuple[int, ...], Known]:
    """All samples with their probabilities, by token ids."""
    assert isinstance(asked.prompt, str)
    prompt = model.tokenizer.encode(asked.prompt)
    vocabulary = {i: text for text, i in model.tokenizer.get_vocab().items()}
    found: dict[tuple[int, ...], Known] = {}
    open_: list[tuple[tuple[int, ...], float, float]] = [((), 1.0, 0.0)]
    while open_:
        ids, probability, loss = open_.pop()
        text = "".join(vocabulary[i] for i in ids)
        stopped = any(stop in text for stop in asked.sampling.stop)
        if ids and (ids[-1] == 0 or stopped or len(ids) == asked.sampling.max_tokens):
            for stop in ("<eos>", *asked.sampling.stop):
                text = text.partition(stop)[0]
            found[ids] = Known(text, ids[-1] == 0 or stopped, probability, loss)
            continue
        shares, logprobs = distribution(model, [*prompt, *ids], asked.sampling)
        for token, share in enumerate(shares):
            if share > 0.0:
                further = max(logprobs) - logprobs[token]
                open_.append(((*ids, token), probability * share, loss + further))
    assert math.fsum(known.probability for known in found.values()) == pytest.approx(1.0)
    return found


Key = tuple[str, bool]


def by_text(found: Mapping[tuple[int, ...], Known]) -> dict[Key, float]:
    """Probabilities of what samples may not have in common: stripped text, whole or cut off."""
    law: dict[Key, float] = {}
    for known in found.values():
        key = (known.text.strip(), known.whole)
        law[key] = law.get(key, 0.0) + known.probability
    return law


def key(sample: Sample) -> Key:
    return sample.text.strip(), sample.finish != "length"


def without_replacement(law: Mapping[Key, float], k: int) -> dict[tuple[Key, ...], float]:
    """The probability of every ordered draw of k: p1 · p2 / (1 - p1) · …"""
    draws: dict[tuple[Key, ...], float] = {(): 1.0}
    for _ in range(k):
        longer: dict[tuple[Key, ...], float] = {}
        for drawn, p in draws.items():
            left = math.fsum(law[one] for one in law if one not in drawn)
            longer |= {(*drawn, one): p * law[one] / left for one in law if one not in drawn}
        draws = longer
    return draws


def check_law(counts: Counter[Any], law: Mapping[Any, float]) -> None:
    """Pearson's χ² of the counts, cells below 5 expected pooled.

    The bound is the quantile at z = 4 by the Wilson-Hilferty approximation, k (1 - 2/(9k) + z √(2/(9k)))³ for k degrees of freedom: a true law is
    above it once in 30,000 seeds, and the seeds are fixed.
    """
    total = counts.total()
    assert set(counts) <= set(law)
    cells: list[tuple[float, int]] = []
    pooled, seen = 0.0, 0
    for one, p in law.items():
        if total * p >= 5:
            cells.append((total * p, counts[one]))
        else:
            pooled, seen = pooled + total * p, seen + counts[one]
    if pooled >= 5:
        cells.append((pooled, seen))
    statistic = sum((observed - expected) ** 2 / expected for expected, observed in cells)
    k = len(cells) - 1
    bound = k * (1 - 2 / (9 * k) + 4 * math.sqrt(2 / (9 * k))) ** 3
    assert statistic < bound, (statistic, bound, k)


CALLS = 2000


async def drawn(model: HFModel, asked: GenerationCall) -> list[list[Key]]:
    generations = await ask(model, *(replace(asked, seed=seed) for seed in range(CALLS)))
    return [[key(sample) for sample in real(generation)] for generation in generations]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"temperature": 0.6, "min_p": 0.0, "max_tokens": 2},
        {"top_p": 0.8},
        {"avoid": ("a", "ab", "")},
        {"avoid": ("ca", "c", "cb", "ddd"), "prompt": "c"},
    ],
)
async def test_ordered_draws_have_the_law_of_sampling_without_replacement(
    model: HFModel, changes: dict[str, Any]
) -> None:
    asked = call(n=3, **changes)
    law = by_text(enumerate_all(model, asked))
    avoided = {(text, True) for text in asked.avoid}
    law = {one: p for one, p in law.items() if one not in avoided}
    law = {one: p / math.fsum(law.values()) for one, p in law.items()}
    samples = await drawn(model, asked)
    assert all(len(set(keys)) == 3 for keys in samples)
    check_law(Counter(keys[0] for keys in samples), law)
    check_law(Counter((keys[0], keys[1]) for keys in samples), without_replacement(law, 2))
    thirds: dict[Key, float] = {}
    for (_, _, third), p in without_replacement(law, 3).items():
        thirds[third] = thirds.get(third, 0.0) + p
    check_law(Counter(keys[2] for keys in samples), thirds)


async def test_the_law_is_that_of_texts_where_a_text_has_several_spellings(spelling: HFModel) -> None:
    # more are asked for than looked at: second spellings may use up what two samples may cost
    asked = call(n=5, avoid=("ab",), max_tokens=4, stop=("\n",))
    found = enumerate_all(spelling, asked)
    law = by_text(found)
    assert len(law) < len(found)
    assert sum(known.text.strip() == "ab" and known.whole for known in found.values()) > 1
    law = {one: p for one, p in law.items() if one != ("ab", True)}
    law = {one: p / math.fsum(law.values()) for one, p in law.items()}
    samples = await drawn(spelling, asked)
    assert all(len(keys) == len(set(keys)) > 1 for keys in samples)
    check_law(Counter((keys[0], keys[1]) for keys in samples), without_replacement(law, 2))


async def test_the_first_sample_is_the_one_an_ordinary_call_draws(model: HFModel) -> None:
    calls = [call(n=4, prompt=prompt, seed=seed) for prompt in ("a", "bca") for seed in range(20)]
    unique = await ask(model, *calls)
    ordinary = await ask(model, *(replace(c, n=1, unique=False) for c in calls))
    for ours, theirs in zip(unique, ordinary, strict=True):
        assert ours.samples[0].token_ids == theirs.samples[0].token_ids
        assert ours.samples[0].logprobs == pytest.approx(theirs.samples[0].logprobs, abs=1e-5)
        assert ours.prompt_token_ids == theirs.prompt_token_ids
    alone = await ask(model, *(replace(c, n=1) for c in calls))
    assert [g.prompt_tokens for g in alone] == [g.prompt_tokens for g in ordinary]


async def test_what_does_not_exist_is_filtered(model: HFModel) -> None:
    asked = call(n=400)
    found = enumerate_all(model, asked)
    law = by_text(found)
    assert len(law) < 400
    [generation] = await ask(model, asked)
    assert len(generation.samples) == 400
    samples = real(generation)
    assert generation.samples[: len(samples)] == tuple(samples)
    assert Counter(key(sample) for sample in samples) == Counter(law.keys())
    for sample in samples:
        assert sample.token_ids in found
    missing = generation.samples[-1]
    assert missing == Sample("", "filter", 0, (), (), ())


async def test_nothing_is_drawn_where_all_is_avoided(model: HFModel) -> None:
    # a nucleus of one token leaves one sequence; of all prompts, one at which it ends
    asked = [call(n=2, prompt=a + b, top_p=1e-6, stop=("d",), max_tokens=9) for a in "abcd" for b in "abcd"]
    only = [real(generation) for generation in await ask(model, *asked)]
    assert {len(samples) for samples in only} == {1}
    ended = [(c, s.text) for c, [s] in zip(asked, only, strict=True) if s.finish != "length"]
    assert ended
    for generation in await ask(model, *(replace(c, avoid=(text,)) for c, text in ended)):
        assert real(generation) == []
        assert generation.completion_tokens == 0
        assert generation.prompt_tokens >= 2


async def test_avoided_texts_that_cannot_be_drawn_exclude_nothing(model: HFModel) -> None:
    asked = call(n=4, seed=3, stop=("d",))
    [plain] = await ask(model, asked)
    [avoiding] = await ask(model, replace(asked, avoid=("aaaa", "a" * 30, "bda")))
    assert [s.text for s in avoiding.samples] == [s.text for s in plain.samples]


@pytest.mark.parametrize("min_p", [0.0, 0.05])
async def test_greedily_the_least_loss_comes_first(model: HFModel, min_p: float) -> None:
    asked = call(n=12, temperature=0.0, min_p=min_p)
    found = enumerate_all(model, replace(asked, sampling=replace(asked.sampling, temperature=1.0)))
    best: dict[Key, float] = {}
    for known in found.values():
        one = (known.text.strip(), known.whole)
        best[one] = min(known.loss, best.get(one, math.inf))
    # a sample is given by where it leaves the others: its loss there; ties in loss do not occur in this model
    expected = sorted(best, key=lambda one: best[one])
    [generation] = await ask(model, asked)
    [greedy] = await ask(model, replace(asked, n=1, unique=False))
    assert generation.samples[0].token_ids == greedy.samples[0].token_ids
    assert [key(sample) for sample in real(generation)] == expected[:12]
    [later] = await ask(model, replace(asked, n=2, avoid=tuple(k[0] for k in expected[:3] if k[1])))
    left = [one for one in expected if one not in [k for k in expected[:3] if k[1]]]
    assert [key(sample) for sample in later.samples] == left[:2]


async def test_a_call_does_not_depend_on_what_it_is_batched_with(model: HFModel) -> None:
    calls = [
        call(n=4, prompt=prompt, seed=9, temperature=0.4 + i / 3, avoid=("a", "b")[: i % 3])
        for i, prompt in enumerate(("a", "abc", "cab", "bbbb", "dd", "c"))
    ]
    ordinary = [replace(c, unique=False, avoid=(), n=3) for c in calls]
    mixed = [c for pair in zip(calls, ordinary, strict=True) for c in pair]
    together = await ask(model, *mixed)
    narrow = await ask(HFModel(model.module.name_or_path, device="cpu", batch=3), *mixed)
    alone = [(await ask(model, c))[0] for c in mixed]
    for several, few, one, asked in zip(together, narrow, alone, mixed, strict=True):
        assert [s.token_ids for s in several.samples] == [s.token_ids for s in one.samples]
        assert several.prompt_tokens == one.prompt_tokens
        if not asked.unique:  # fewer at a time are drawn otherwise, from the same law
            assert [s.token_ids for s in few.samples] == [s.token_ids for s in one.samples]
        else:
            assert len({key(s) for s in real(few)}) == len(real(few)) > 1
        for ours, theirs in zip(several.samples, one.samples, strict=True):
            assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)


async def test_more_draws_than_a_batch_holds(model: HFModel) -> None:
    small = HFModel(model.module.name_or_path, device="cpu", batch=4)
    [generation] = await ask(small, call(n=30, min_p=0.0, avoid=("a", "b")))
    assert len({key(s) for s in real(generation)}) == 30
    assert not {("a", True), ("b", True)} & {key(s) for s in generation.samples}


async def test_samples_are_recorded_as_ordinary_ones_are(model: HFModel) -> None:
    asked = call(n=20, prompt="cab", max_tokens=5, min_p=0.0, avoid=("a", "ca"), stop=("d",))
    [generation] = await ask(model, asked)
    prompt = tuple(model.tokenizer.encode("cab"))
    assert generation.prompt_token_ids == prompt
    finishes: set[str] = set()
    for sample in real(generation):
        assert sample.token_ids is not None
        ids = [*prompt, *sample.token_ids]
        with torch.inference_mode():
            logprobs = model.module(torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [float(logprobs[2 + k, token]) for k, token in enumerate(sample.token_ids)]
        assert sample.logprobs == pytest.approx(expected, abs=1e-4)
        assert sample.tokens == len(sample.token_ids) == len(sample.pieces or ())
        written = "".join(sample.pieces or ())
        if sample.finish == "stop":
            assert written == sample.text + "d"
        elif sample.finish == "end":
            assert (sample.token_ids[-1], written) == (0, sample.text + "<eos>")
        else:
            assert (sample.tokens, written) == (5, sample.text)
        finishes.add(sample.finish)
    assert finishes == {"stop", "end", "length"}


async def test_every_generated_token_is_counted(spelling: HFModel) -> None:
    fed: list[int] = []

    def count(_: Any, args: Any, given: dict[str, Any]) -> None:
        fed.append(given["input_ids"].numel())

    hook = spelling.module.register_forward_pre_hook(count, with_kwargs=True)
    try:
        extra = 0
        for seed in range(60):
            fed.clear()
            asked = call(n=4, seed=seed, max_tokens=4, stop=("\n",), avoid=("ab", "b") if seed % 2 else ())
            [generation] = await ask(spelling, asked)
            assert len({key(s) for s in real(generation)}) == len(real(generation))
            assert generation.completion_tokens <= 4 * 4
            assert (
                generation.completion_tokens
                == sum(s.tokens for s in real(generation)) + generation.extra_tokens
            )
            # everything that went through the model was either generated or read; the last token of a sample never does
            assert sum(fed) <= generation.prompt_tokens + generation.completion_tokens
            extra += generation.extra_tokens
        assert extra > 0
    finally:
        hook.remove()


async def test_a_model_whose_output_is_not_a_number_fails_the_call(tmp_path: Path) -> None:
    broken = make(tmp_path / "nan", CHARACTERS)
    with torch.no_grad():
        broken.module.model.norm.weight.fill_(math.nan)
    for asked in (call(), call(avoid=("a",)), call(temperature=0.0, avoid=("a",)), call(temperature=0.0)):
        [result] = await broken.generate([asked])
        assert isinstance(result, ModelError)
        assert "NaN" in str(result)


async def test_a_cancelled_call_stops_computing(model: HFModel) -> None:
    slow = HFModel(model.module.name_or_path, device="cpu", batch=1)
    many = [call(n=300, max_tokens=20, min_p=0.0) for _ in range(50)]
    task = asyncio.create_task(ask(slow, *many))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(ask(slow, call(n=1)), timeout=20)  # 15,000 batches would take minutes


def test_the_ids_of_other_calls_are_what_they_were() -> None:
    assert GenerationCall("the cat", Sampling(8)).id("m") == "d6758d6435e162dff612"
    turns = (Message("user", "hi"),)
    assert (
        GenerationCall(turns, Sampling(5, 1.5, 0.9, 0.1, ("\n",)), 3, 7, 2).id("m") == "47da55eb01d8ba94240b"
    )
    ids = {
        asked.id("m")
        for asked in (
            call(),
            call(unique=False),
            call(avoid=("a",)),
            call(avoid=("a", "b")),
            call(avoid=("b", "a")),
        )
    }
    assert len(ids) == 5
    with pytest.raises(ValueError, match="unique=True"):
        call(unique=False, avoid=("a",))


async def test_models_that_cannot_say_so(model: HFModel) -> None:
    scripted = ScriptedModel(lambda asked: ["x"] * asked.n)
    assert draws_unique(model)
    assert draws_unique(LatencyModel(model))
    assert not draws_unique(scripted)
    assert not draws_unique(LatencyModel(scripted))
    recorded = ReplayModel("m", {}, unique=True)
    assert draws_unique(recorded)
    assert not draws_unique(ReplayModel("m", {}))
    scheduler = Scheduler()
    with pytest.raises(ModelError, match="scripted cannot draw without replacement"):
        await scheduler.generate(scripted, call())
    assert scripted.asked == []
    generation = await scheduler.generate(model, call())
    assert len(generation.samples) == 3
    await scheduler.aclose()


def test_extra_tokens_are_stored_where_there_are_any() -> None:
    generation = Generation((Sample("a", "end", 2),), 3, (1, 2), extra_tokens=4)
    assert generation.completion_tokens == 6
    assert generation_from_json(generation_to_json(generation)) == generation
    assert "extra_tokens" not in generation_to_json(replace(generation, extra_tokens=0))


LENGTH = 3
SEQUENCES = list(itertools.product(range(3), repeat=LENGTH))


@given(
    excluded=st.lists(st.sampled_from(SEQUENCES), unique=True, max_size=len(SEQUENCES)),
    weights=st.lists(st.integers(0, 5), min_size=39, max_size=39),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_the_trie_knows_what_is_left(
    excluded: list[tuple[int, ...]], weights: list[int], uniform: float
) -> None:
    # 1 + 3 + 9 prefixes with three next tokens each; a prefix with no weight gives all to its first token
    prefixes = [p for k in range(LENGTH) for p in itertools.product(range(3), repeat=k)]
    shares: dict[tuple[int, ...], list[float]] = {}
    for i, prefix in enumerate(prefixes):
        row = weights[3 * i : 3 * i + 3]
        shares[prefix] = [w / sum(row) for w in row] if any(row) else [1.0, 0.0, 0.0]
    trie = Trie(greedy=False)
    for ids in excluded:
        trie.add(ids)
    _fill(trie.root, (), shares)
    for ids in excluded:
        trie.settle(ids)
    law = {ids: math.prod(shares[ids[:k]][ids[k]] for k in range(LENGTH)) for ids in SEQUENCES}
    left = math.fsum(p for ids, p in law.items() if ids not in excluded)
    assert trie.left == pytest.approx(left, abs=1e-12)
    if left > 0.0:
        found = trie.walk(lambda: uniform)
        assert found.node.rest > 0.0
        assert len(found.ids) == len(found.logprobs) < LENGTH


def _fill(node: Node, prefix: tuple[int, ...], shares: Mapping[tuple[int, ...], Sequence[float]]) -> None:
    for token, child in node.children.items():
        child.share = shares[prefix][token]
        _fill(child, (*prefix, token), shares)
    if prefix in shares:
        node.rest = math.fsum(
            share for token, share in enumerate(shares[prefix]) if token not in node.children
        )
