"""The static cache: architectures against transformers' own decoding, rows that come and go, and what is found again by its beginning."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from test_models_hf import PROMPTS, ask, byte_tokenizer, call, same, save_model

from thoughtgraph.agents.models.base import Generation
from thoughtgraph.agents.models.inprocess.hf import HFModel
from thoughtgraph.agents.models.inprocess.prefix_memory import PrefixMemory
from thoughtgraph.agents.models.inprocess.slots import Slots
from thoughtgraph.graph.errors import ModelError

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.4,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "bos_token_id": None,
}


def save(folder: Path, name: str, changes: dict[str, Any]) -> Path:
    tokenizer = byte_tokenizer()
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    config = getattr(transformers, f"{name}Config")(**SHAPE | {"vocab_size": len(tokenizer)} | changes)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


async def check_greedy(model: HFModel) -> None:
    """Calls of different lengths made at the same time get what `generate` gives each alone."""
    calls = [call(p, temperature=0, max_tokens=6 + 2 * i) for i, p in enumerate(PROMPTS)]
    answers = await asyncio.gather(*(ask(model, c) for c in calls))
    for c, [answer] in zip(calls, answers, strict=True):
        ids = model.tokenizer(c.prompt, return_tensors="pt")["input_ids"]
        out = model.module.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=c.sampling.max_tokens
        )
        assert answer.samples[0].token_ids == tuple(out[0, ids.shape[1] :].tolist())


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("Llama", {}),
        ("Qwen2", {}),
        ("Qwen3", {"head_dim": 16}),
        ("Mistral", {"sliding_window": None}),
        ("GPTNeoX", {}),
    ],
)
async def test_calls_join_the_running_decode(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    model = HFModel(save(tmp_path / name, name, changes), device="cpu", batch=4)
    assert model.decoding == "calls join the running decode, over a static cache"
    await check_greedy(model)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("Mistral", {"sliding_window": 8}, "DynamicSlidingWindowLayer"),
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}, "LinearAttentionLayer"),
        ("Bloom", {"n_layer": 2, "n_head": 4}, "it does not run so"),
    ],
)
async def test_other_models_go_batch_after_batch_and_say_why(
    tmp_path: Path, name: str, changes: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        model = HFModel(save(tmp_path / name, name, changes), device="cpu", batch=4)
    assert model.decoding.startswith("batch after batch")
    assert reason in model.decoding
    assert model.decoding in caplog.text
    await check_greedy(model)
    calls = [call(p, n=2, max_tokens=9) for p in PROMPTS]
    together = await asyncio.gather(*(ask(model, c) for c in calls))
    for c, [answer] in zip(calls, together, strict=True):
        [alone] = await ask(model, c)
        assert all(same(a, b) for a, b in zip(answer.samples, alone.samples, strict=True))


async def test_a_model_that_cannot_place_rows_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = transformers.LlamaModel.forward

    def careless(self: Any, *args: Any, **given: Any) -> Any:
        given.pop("position_ids", None)  # counts positions from its cache, as some remote code does
        return attend(self, *args, **given)

    monkeypatch.setattr(transformers.LlamaModel, "forward", careless)
    model = HFModel(save_model(tmp_path / "careless"), device="cpu")
    assert "its results differ from those without a cache" in model.decoding


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), max_position_embeddings=512)


@pytest.fixture
def model(folder: Path) -> HFModel:
    return HFModel(folder, device="cpu", batch=8)


async def test_a_call_is_answered_while_others_are_in_work(model: HFModel) -> None:
    order: list[str] = []

    async def asked(name: str, tokens: int) -> None:
        await ask(model, call("the cat", max_tokens=tokens, temperature=0))
        order.append(name)

    long = asyncio.create_task(asked("long", 400))
    await asyncio.sleep(0)
    for i in range(3):
        await asked(f"short {i}", 2)
    await long
    assert order == ["short 0", "short 1", "short 2", "long"]


async def test_a_call_that_nobody_waits_for_leaves_and_the_others_go_on(model: HFModel) -> None:
    [expected] = await ask(model, call("a", max_tokens=40))
    steps = 0
    under_way = asyncio.Event()
    loop = asyncio.get_running_loop()

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == 10:
            loop.call_soon_threadsafe(under_way.set)

    hook = model.module.register_forward_pre_hook(count)
    stays = asyncio.create_task(ask(model, call("a", max_tokens=40)))
    leaves = asyncio.create_task(model.generate([call("the cat", n=1000, max_tokens=400)]))
    await under_way.wait()
    leaves.cancel()
    [answer] = await stays
    await ask(model, call("a", max_tokens=1))
    hook.remove()
    assert same(answer.samples[0], expected.samples[0])
    assert steps < 400  # of 50,000


async def test_what_was_read_or_written_is_not_read_again(model: HFModel) -> None:
    [first] = await ask(model, call("the dog ate the hat and", max_tokens=12, temperature=0))
    assert first.cached_prompt_tokens == 0
    [again] = await ask(model, call("the dog ate the hat and", max_tokens=12, temperature=0))
    assert again.cached_prompt_tokens == again.prompt_tokens - 1
    assert same(first.samples[0], again.samples[0])
    longer = "the dog ate the hat and the rat sat on the mat"
    [continued] = await ask(model, call(longer, max_tokens=12))
    assert 0 < continued.cached_prompt_tokens < continued.prompt_tokens - 1
    [fresh] = await ask(HFModel(model.module.name_or_path, device="cpu"), call(longer, max_tokens=12))
    assert fresh.cached_prompt_tokens == 0
    assert same(continued.samples[0], fresh.samples[0])


async def test_a_row_of_nan_spoils_no_other(model: HFModel) -> None:
    [expected] = await ask(model, call("a", max_tokens=20))
    weights = model.module.model.embed_tokens.weight
    [[bad]] = [model.tokenizer.encode("24")[-1:]]
    with torch.no_grad():
        kept = weights[bad].clone()
        weights[bad] = torch.nan
    broken = await model.generate([call("24", max_tokens=20)] * 8)
    assert all(isinstance(one, ModelError) and "NaN" in str(one) for one in broken)
    with torch.no_grad():
        weights[bad] = kept
    [answer] = await ask(model, call("a", max_tokens=20))
    assert same(answer.samples[0], expected.samples[0])


async def test_a_failing_model_fails_those_in_work_and_no_others(
    model: HFModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(model.module, "forward", fail)
        results = await asyncio.gather(
            *(model.generate([call(p, n=3)]) for p in PROMPTS), return_exceptions=True
        )
    assert [str(result) for result in results] == ["out of memory"] * len(PROMPTS)
    [answer] = await model.generate([call("the cat")])
    assert isinstance(answer, Generation)


def test_rows_move_fork_and_leave_without_a_difference(model: HFModel) -> None:
    slots = Slots(model.module, 0, PrefixMemory())
    sequences = [[5, 6, 7], [8], [9, 10, 11, 12, 13], [8]]

    def feed(tokens: list[int]) -> None:
        for ids, token in zip(sequences, tokens, strict=True):
            ids.append(token)
        logits = slots.step(tokens)
        for ids, row in zip(sequences, logits, strict=True):
            alone = model.module(torch.tensor([ids])).logits[0, -1]
            assert torch.allclose(row, alone, atol=1e-4)

    with torch.inference_mode():
        order, _ = slots.admit([(*ids, 20 + i) for i, ids in enumerate(sequences)])
        sequences = [sequences[i] for i in order]
        feed([20 + i for i in order])
        for kept in ([1, 0, 3, 2], [2, 2, 0, 1, 2], [4, 1], [0] * 12, [11]):
            slots.select(kept)
            sequences = [list(sequences[i]) for i in kept]
            for _ in range(30):
                feed([30 + i for i in range(len(kept))])


def test_the_memory_keeps_to_its_size() -> None:
    memory = PrefixMemory(3 * 40)

    def keep(*ids: int) -> None:
        memory.keep(ids, 40, lambda: torch.tensor(ids * 10)[:10].float())

    keep(1, 2, 3)
    keep(1, 2)  # known
    assert len(memory) == 1
    keep(1, 2, 3, 4)  # makes what it begins with superfluous
    keep(1, 5)
    keep(
        6,
    )
    assert [memory.find(ids)[1] for ids in ([1, 2, 3, 9], [1, 5, 5], [6], [7], [1, 8])] == [3, 2, 1, 0, 1]
    memory.find([1, 2])
    memory.find([6])
    keep(7, 7)  # 1 5 was not asked for the longest
    assert len(memory) == 3
    assert [memory.find(ids)[1] for ids in ([1, 5], [7, 7], [6, 1], [1, 2, 3, 4])] == [1, 2, 1, 4]
    memory.keep((9,), 1000, lambda: torch.zeros(250))
    assert memory.find([9]) == (None, 0)
