import asyncio
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sample, Sampling
from thoughtgraph.agents.models.inprocess.decoding import Row, choose
from thoughtgraph.agents.models.inprocess.detokenize import TextStream
from thoughtgraph.agents.models.inprocess.hf import HFModel
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UserError

# transformers is partly untyped
Model: Any = LlamaForCausalLM
Config: Any = LlamaConfig
safetensors_torch: Any = safetensors.torch

CORPUS = ["the cat sat on the mat\n", "a dog ate the hat and the rat\n", "naïve café — 24 = 4 * 6\n"] * 20
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if not loop.last %}|{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}|<assistant>{% endif %}"
)


def byte_tokenizer(template: str | None = None) -> Any:
    """A byte-level BPE: characters outside ASCII are several tokens, words one."""
    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer: Any = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<pad>", "<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", chat_template=template
    )


def save_model(folder: Path, template: str | None = None, **config: Any) -> Path:
    tokenizer = byte_tokenizer(template)
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.4,  # wide, so that distributions are far from uniform
        "eos_token_id": 1,
        "pad_token_id": 0,
        "bos_token_id": None,
    }
    model = Model(Config(**shape | config))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> HFModel:
    return HFModel(folder, device="cpu", batch=16)


PROMPTS = ["the cat", "a", "the dog ate the hat and", "24 =", "naïve", "on the mat\n", "rat rat rat", "é"]


def call(prompt: str, n: int = 1, **sampling: Any) -> GenerationCall:
    parameters: dict[str, Any] = {"max_tokens": 12, "temperature": 1.0}
    return GenerationCall(prompt, Sampling(**parameters | sampling), n=n, seed=5)


async def ask(model: HFModel, *calls: GenerationCall) -> list[Generation]:
    results = await model.generate(calls)
    assert all(isinstance(result, Generation) for result in results)
    return [result for result in results if isinstance(result, Generation)]


def same(a: Sample, b: Sample) -> bool:
    assert a.logprobs is not None
    assert b.logprobs is not None
    return (a.text, a.finish, a.token_ids) == (b.text, b.finish, b.token_ids) and all(
        math.isclose(x, y, abs_tol=1e-4) for x, y in zip(a.logprobs, b.logprobs, strict=True)
    )


async def test_a_sample_does_not_depend_on_what_it_is_batched_with(model: HFModel) -> None:
    calls = [call(p, temperature=0.5 + i / 4, top_p=1 - i / 20) for i, p in enumerate(PROMPTS)]
    together = await ask(model, *calls)
    alone = [(await ask(model, c))[0] for c in calls]
    assert all(same(a.samples[0], b.samples[0]) for a, b in zip(together, alone, strict=True))
    assert len({g.samples[0].text for g in together}) == 8


async def test_sample_i_is_the_same_whether_asked_for_in_one_call_or_in_several(model: HFModel) -> None:
    [whole] = await ask(model, call("the cat", n=6))
    parts = [
        GenerationCall("the cat", Sampling(12, temperature=1.0), n=2, seed=5, first_sample=first)
        for first in (4, 0, 2)
    ]
    last, first, middle = await ask(model, *parts)
    assert all(
        same(a, b)
        for a, b in zip(whole.samples, (*first.samples, *middle.samples, *last.samples), strict=True)
    )
    assert len({sample.text for sample in whole.samples}) == 6


async def test_more_samples_than_a_batch_are_decoded_in_several(model: HFModel) -> None:
    [many] = await ask(model, call("the cat", n=40))
    [few] = await ask(model, call("the cat", n=3))
    assert len(many.samples) == 40
    assert all(same(a, b) for a, b in zip(many.samples, few.samples, strict=False))


async def test_greedy_equals_transformers_own(model: HFModel) -> None:
    answers = await ask(model, *(call(p, temperature=0, max_tokens=20) for p in PROMPTS))
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = model.tokenizer(prompt, return_tensors="pt")
        expected = model.module.generate(**ids, do_sample=False, max_new_tokens=20)[
            0, ids["input_ids"].shape[1] :
        ]
        assert answer.samples[0].token_ids == tuple(expected.tolist())
        assert answer.prompt_token_ids == tuple(ids["input_ids"][0].tolist())


async def test_logprobs_are_those_of_a_full_forward_pass_at_temperature_1(model: HFModel) -> None:
    for answer in await ask(model, *(call(p, n=2, temperature=1.7, top_p=0.9) for p in PROMPTS)):
        for sample in answer.samples:
            assert answer.prompt_token_ids is not None
            assert sample.token_ids is not None
            ids = torch.tensor([answer.prompt_token_ids + sample.token_ids])
            with torch.inference_mode():
                logprobs = model.module(ids).logits[0].log_softmax(-1)
            start = len(answer.prompt_token_ids)
            expected = [float(logprobs[start + k - 1, t]) for k, t in enumerate(sample.token_ids)]
            assert sample.logprobs == pytest.approx(expected, abs=1e-4)


async def test_a_sample_ends_before_the_first_stop_string_wherever_token_boundaries_fall(
    model: HFModel,
) -> None:
    [free] = await ask(model, call("the cat", temperature=0, max_tokens=20))
    [sample] = free.samples
    assert sample.finish == "length"
    assert sample.tokens == 20
    assert "".join(sample.pieces or ()) == sample.text
    for start in range(2, len(sample.text) - 4):
        stop = sample.text[start : start + 4]  # crosses token boundaries, begins and ends within tokens
        [cut] = (await ask(model, call("the cat", temperature=0, max_tokens=20, stop=("☃", stop))))[0].samples
        assert cut.finish == "stop"
        assert cut.text == sample.text[: sample.text.index(stop)]
        assert cut.token_ids == (sample.token_ids or ())[: cut.tokens]
        assert cut.tokens == len(cut.pieces or ()) == len(cut.logprobs or ())
        written = "".join(cut.pieces or ())
        assert written.startswith(cut.text + stop)
        assert stop not in "".join((cut.pieces or ())[:-1])  # not a token more than needed


async def test_the_end_token_ends_a_sample_and_counts(folder: Path) -> None:
    model = HFModel(folder, device="cpu")
    [free] = (await ask(model, call("the cat", temperature=0, max_tokens=20)))[0].samples
    ids = list(free.token_ids or ())
    ends = ids[6]
    model.module.generation_config.eos_token_id = [1, ends]
    stopping = HFModel(save_again(model, folder.parent / "ends"), device="cpu")
    [sample] = (await ask(stopping, call("the cat", temperature=0, max_tokens=20)))[0].samples
    assert sample.finish == "end"
    assert sample.tokens == ids.index(ends) + 1
    assert list(sample.token_ids or ()) == ids[: sample.tokens]
    assert len(sample.pieces or ()) == sample.tokens
    assert sample.text == "".join((sample.pieces or ())[:-1])


def save_again(model: HFModel, folder: Path) -> Path:
    model.module.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    return folder


async def test_rows_that_end_at_different_times_do_not_disturb_each_other(model: HFModel) -> None:
    calls = [call(p, n=2, max_tokens=1 + 3 * i) for i, p in enumerate(PROMPTS)]
    together = await ask(model, *calls)
    for c, answer in zip(calls, together, strict=True):
        [alone] = await ask(model, c)
        assert all(same(a, b) for a, b in zip(answer.samples, alone.samples, strict=True))
        assert all(s.tokens == c.sampling.max_tokens or s.finish == "end" for s in answer.samples)


async def test_the_context_bounds_prompt_and_sample(model: HFModel) -> None:
    long, fits, empty = await model.generate(
        [call("the cat " * 40), call("the cat", max_tokens=500), call("")]
    )
    assert isinstance(long, ModelError)
    assert "context" in str(long)
    assert isinstance(fits, Generation)
    assert fits.samples[0].finish in ("length", "end")
    assert fits.prompt_tokens + fits.samples[0].tokens <= 64
    assert isinstance(empty, ModelError)


async def test_calls_made_at_the_same_time_share_one_decode(model: HFModel) -> None:
    results = await asyncio.gather(*(ask(model, call(p)) for p in PROMPTS))
    for prompt, [together] in zip(PROMPTS, results, strict=True):
        [alone] = await ask(model, call(prompt))
        assert same(together.samples[0], alone.samples[0])


async def test_a_cancelled_call_stops_computing(folder: Path) -> None:
    model = HFModel(folder, device="cpu", batch=2)
    task = asyncio.create_task(model.generate([call("a", n=2000, max_tokens=60)]))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(
        ask(model, call("the cat", max_tokens=1)), timeout=2
    )  # 1000 batches would take longer


async def test_a_chat_is_answered_and_an_assistants_turn_continued(tmp_path: Path) -> None:
    model = HFModel(save_model(tmp_path / "chat", TEMPLATE), device="cpu")
    assert model.chat
    user = Message("user", "the cat")
    sampling = Sampling(4, temperature=0)
    asked, going_on = await ask(
        model,
        GenerationCall((user,), sampling),
        GenerationCall((user, Message("assistant", "sat on")), sampling),
    )
    written = [model.tokenizer.decode(g.prompt_token_ids) for g in (asked, going_on)]
    assert written == ["<user>the cat|<assistant>", "<user>the cat|<assistant>sat on"]


async def test_a_raw_model_refuses_chat_turns(model: HFModel) -> None:
    assert not model.chat
    [refused] = await model.generate([GenerationCall((Message("user", "hi"),), Sampling(4))])
    assert isinstance(refused, ModelError)
    assert "chat=True" in str(refused)


def test_the_name_has_a_version_of_the_weights(folder: Path, tmp_path: Path) -> None:
    same_weights = save_model(tmp_path / folder.name)
    other_weights = save_model(tmp_path / "other" / folder.name, rms_norm_eps=1e-3)
    names = [HFModel(f, device="cpu").name for f in (folder, same_weights, other_weights)]
    assert names[0] == names[1] != names[2]
    assert names[0].startswith(f"hf:{folder.name}@")
    assert HFModel(folder, device="cpu", dtype="bfloat16").name == names[0] + "/bfloat16"


def test_what_cannot_be_loaded_is_said_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no language model at"):
        HFModel(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no config\.json"):
        HFModel(tmp_path / "empty")
    broken = save_model(tmp_path / "broken")
    (broken / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match="cannot load the model") as info:
        HFModel(broken, device="cpu")
    assert "\n" not in str(info.value)
    with pytest.raises(UserError, match="unknown dtype 'int8'"):
        HFModel(folder, device="cpu", dtype="int8")
    with pytest.raises(ModelUnavailableError, match="chat template"):
        HFModel(folder, device="cpu", chat=True)


def test_weights_that_would_be_random_are_refused(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "lacking")
    weights = safetensors_torch.load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    safetensors_torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match=r"lack 'model\.layers\.1\.mlp\.up_proj\.weight'"):
        HFModel(folder, device="cpu")


async def test_a_model_whose_output_is_not_a_number_fails_the_call(tmp_path: Path) -> None:
    model = HFModel(save_model(tmp_path / "nan"), device="cpu")
    with torch.no_grad():
        model.module.model.norm.weight.fill_(math.nan)
    for temperature in (0.0, 1.0):
        [result] = await model.generate([call("the cat", temperature=temperature)])
        assert isinstance(result, ModelError)
        assert "NaN" in str(result)


def listed(values: Any) -> list[Any]:
    return values.tolist()


def row(seed: int, temperature: float = 1.0, top_p: float = 1.0) -> Row:
    return Row(
        (0,), Sampling(1, temperature=temperature, top_p=top_p), seed, TextStream(lambda _: "", (0,), ())
    )


@pytest.mark.parametrize(
    ("temperature", "top_p", "expected"),
    [
        # probabilities 1/2, 1/4, 1/8, 1/8; at temperature 1/2 squared and normalised: 32, 8, 2, 2 of 44
        (1.0, 1.0, [0.5, 0.25, 0.125, 0.125]),
        (0.5, 1.0, [16 / 22, 4 / 22, 1 / 22, 1 / 22]),
        (1.0, 0.75, [2 / 3, 1 / 3, 0, 0]),
        (1.0, 0.76, [4 / 7, 2 / 7, 1 / 7, 0]),
        (1.0, 0.1, [1, 0, 0, 0]),
    ],
)
def test_tokens_are_drawn_with_the_probabilities_asked_for(
    temperature: float, top_p: float, expected: list[float]
) -> None:
    count = 20_000
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().repeat(count, 1)
    rows = [row(seed, temperature, top_p) for seed in range(count)]
    tokens, logprobs = choose(logits, rows)
    drawn = torch.bincount(tokens, minlength=4) / count
    assert listed(drawn) == pytest.approx(expected, abs=0.015)  # four standard errors
    assert all((drawn == 0)[i] for i, p in enumerate(expected) if p == 0)
    assert torch.allclose(logprobs, logits[0][tokens])


def test_greedy_and_drawn_rows_mix() -> None:
    logits = torch.tensor([[0.0, 3.0, 0.0]] * 3)
    rows = [row(1, temperature=0), row(2), row(3, temperature=0)]
    tokens, _ = choose(logits, rows)
    [alone], _ = choose(logits[:1], [row(2)])
    assert listed(tokens) == [1, int(alone), 1]


def test_min_p_leaves_only_plausible_tokens_however_hot() -> None:
    logits = torch.tensor([[math.log(0.6), math.log(0.3), math.log(0.09), math.log(0.01)]])
    drawn = {
        int(
            choose(
                logits,
                [
                    Row(
                        (0,),
                        Sampling(1, temperature=50.0, min_p=0.4),
                        seed,
                        TextStream(lambda _: "", (0,), ()),
                    )
                ],
            )[0]
        )
        for seed in range(60)
    }
    assert drawn == {0, 1}
