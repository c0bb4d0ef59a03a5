"""`vllm:` in its own process, and a vLLM server behind `openai:`, against `hf:` with the shipped policy."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from vllm_cases import GREEDY, QUESTIONS, SAMPLED, SEARCH, thoughts
from vllm_server import vllm_python
from vllm_serving import BUILTIN, VLLMServer

from thoughtgraph import asolve
from thoughtgraph.agents.models.base import Generation, GenerationCall
from thoughtgraph.agents.models.codec import generation_from_json
from thoughtgraph.agents.models.inprocess.hf import HFModel
from thoughtgraph.agents.models.registry import load_model
from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.numbers_puzzles import game24

ROOT = Path(__file__).resolve().parent.parent
POLICY = BUILTIN / "policy"
RANK, ALPHA = 4, 8
tensors: Any = safetensors.torch  # partly untyped

vllm = [pytest.mark.vllm, pytest.mark.timeout(1200)]


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_without_vllm_the_error_says_what_to_install() -> None:
    with pytest.raises(
        UserError, match=r"vllm:Qwen/Qwen3-8B needs vLLM .* pip install 'thoughtgraph\[vllm\]'"
    ):
        load_model("vllm:Qwen/Qwen3-8B?dtype=bfloat16")


def test_no_puzzle_is_one_of_those_that_report() -> None:
    reserved = {f"{puzzle}" for puzzle in game24("test")}
    assert not reserved & {f"{question} -> 24" for question in QUESTIONS}


@pytest.fixture(scope="module")
def hf() -> HFModel:
    return HFModel(POLICY, device="cpu", chat=False)


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter of the queries and values, with weights drawn at random."""
    folder = tmp_path_factory.mktemp("adapter") / "tuned"
    folder.mkdir()
    generator = torch.Generator().manual_seed(1)
    weights: dict[str, torch.Tensor] = {}
    for name, weight in policy_weights().items():
        if name.endswith(("q_proj.weight", "v_proj.weight")):
            out, width = weight.shape
            stem = f"base_model.model.{name.removesuffix('.weight')}"
            weights[f"{stem}.lora_A.weight"] = torch.randn(RANK, width, generator=generator) * 0.1
            weights[f"{stem}.lora_B.weight"] = torch.randn(out, RANK, generator=generator) * 0.1
    tensors.save_file(weights, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    config |= {"base_model_name_or_path": "policy", "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def merged(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    """The policy with the adapter in its weights."""
    folder = tmp_path_factory.mktemp("merged") / "policy"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((POLICY / name).read_bytes())
    weights = {name: weight.float() for name, weight in policy_weights().items()}
    lora = tensors.load_file(adapter / "adapter_model.safetensors")
    for name in [name.removesuffix(".lora_A.weight") for name in lora if name.endswith("lora_A.weight")]:
        change = lora[f"{name}.lora_B.weight"] @ lora[f"{name}.lora_A.weight"]
        weights[f"{name.removeprefix('base_model.model.')}.weight"] += ALPHA / RANK * change
    tensors.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return HFModel(folder, device="cpu", chat=False)


def policy_weights() -> dict[str, torch.Tensor]:
    return tensors.load_file(POLICY / "model.safetensors")


@pytest.fixture(scope="module")
def told(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What `vllm_child.py` told."""
    python, folder = vllm_python(), tmp_path_factory.mktemp("child")
    path = os.pathsep.join((str(ROOT), str(ROOT / "tests")))
    child = ROOT / "tests" / "vllm_child.py"
    done = subprocess.run(
        [python, str(child), str(POLICY), str(adapter), str(folder / "told.json")],
        env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-8000:]
    assert done.stdout == "", "what a program prints is its own"
    return json.loads((folder / "told.json").read_text())


async def answers(model: Any, calls: list[GenerationCall]) -> list[Generation]:
    results = [result for call in calls for result in await model.generate([call])]
    assert all(isinstance(result, Generation) for result in results), results
    return results


def assert_same(some: list[Generation], others: list[Generation]) -> None:
    """Compare everything exactly, but log-probabilities to 1e-3."""
    for a, b in zip(some, others, strict=True):
        assert (a.prompt_token_ids, a.prompt_tokens) == (b.prompt_token_ids, b.prompt_tokens)
        for x, y in zip(a.samples, b.samples, strict=True):
            assert (x.text, x.finish, x.tokens) == (y.text, y.finish, y.tokens)
            assert (x.token_ids, x.pieces) == (y.token_ids, y.pieces)
            assert x.logprobs == pytest.approx(y.logprobs, abs=1e-3)


def read(rows: list[Any]) -> list[Generation]:
    return [generation_from_json(row) for row in rows]


class TestInProcess:
    pytestmark = vllm

    async def test_greedy_answers_are_those_of_transformers(self, told: Any, hf: HFModel) -> None:
        expected = await answers(hf, GREEDY)
        assert_same(read(told["calls"]["greedy"]), expected)
        assert {sample.finish for one in expected for sample in one.samples} == {"end", "stop"}

    async def test_log_probabilities_are_those_at_temperature_1(self, told: Any, hf: HFModel) -> None:
        """Measured by continuing each sample's text greedily, a token at a time."""
        for generation in read(told["calls"]["sampled together"])[:2]:
            for sample in generation.samples:
                expected = logprobs_of(hf, generation.prompt_token_ids or (), sample.token_ids or ())
                assert sample.logprobs == pytest.approx(expected, abs=1e-3)

    def test_a_sample_is_the_same_alone_in_a_batch_and_in_a_call_of_its_own(self, told: Any) -> None:
        calls = told["calls"]
        together = read(calls["sampled together"])
        assert_same(read(calls["sampled alone"]), together)
        for whole, parts in zip(together, calls["sampled one by one"], strict=False):
            for sample, part in zip(whole.samples, read(parts), strict=True):
                assert part.samples[0].token_ids == sample.token_ids
        assert [len(one.samples) for one in together] == [4] * len(SAMPLED)
        assert len({sample.text for one in together for sample in one.samples}) > 2 * len(SAMPLED)

    def test_a_search_thinks_what_it_thinks_with_transformers(self, told: Any, searched: list[Any]) -> None:
        assert told["searches"] == searched

    def test_a_prefix_is_read_once(self, told: Any) -> None:
        cached, prompt = told["calls"]["cached"]
        assert 128 <= cached < prompt

    def test_what_is_refused_says_why(self, told: Any) -> None:
        calls = told["calls"]
        assert "the prompt has 601 tokens, and the context 256" in calls["too long"]
        assert "temperature must be in [0, 2], got 3.0" in calls["too hot"]
        assert "cannot draw without replacement" in calls["unique"]

    def test_a_cancelled_call_ends_at_the_engine(self, told: Any) -> None:
        cancelled = told["calls"]["cancelled"]
        assert (cancelled["ended"], cancelled["left"]) == ("CancelledError", 0)
        assert cancelled["afterwards"] == told["calls"]["greedy"][0]

    def test_an_interrupt_at_the_terminal_leaves_the_engine_alone(self, told: Any) -> None:
        assert told["calls"]["interrupted"] == told["calls"]["greedy"][0]

    async def test_an_adapter_and_its_base_share_an_engine(
        self, told: Any, hf: HFModel, merged: HFModel
    ) -> None:
        adapted = told["adapted"]
        assert_same(read(adapted["plain"]), await answers(hf, GREEDY))
        tuned = [[sample.token_ids for sample in one.samples] for one in read(adapted["tuned"])]
        expected = [[sample.token_ids for sample in one.samples] for one in await answers(merged, GREEDY)]
        assert tuned == expected
        assert adapted["tuned"] != adapted["plain"]
        assert adapted["name"].startswith(f"{told['calls']['name']}+tuned@")

    def test_the_name_is_that_of_the_weights(self, told: Any, hf: HFModel) -> None:
        assert told["calls"]["name"] == hf.name.replace("hf:", "vllm:")
        assert told["calls"]["concurrency"] == 256

    def test_the_engine_can_be_started_before_the_first_call(self, told: Any) -> None:
        assert told["calls"]["ready"] is True

    def test_a_dead_engine_is_a_model_that_is_not_available(self, told: Any) -> None:
        for kind, message in told["death"].values():
            assert kind == "ModelUnavailableError"
            assert "died; its log above says why" in message


class TestServer:
    pytestmark = vllm

    async def test_greedy_answers_are_those_of_transformers(
        self, vllm_policy: VLLMServer, hf: HFModel
    ) -> None:
        served = load_model(spec(vllm_policy))
        for a, b in zip(await answers(served, GREEDY), await answers(hf, GREEDY), strict=True):
            assert [(s.text, s.finish) for s in a.samples] == [(s.text, s.finish) for s in b.samples]
            assert a.samples[0].logprobs == pytest.approx(b.samples[0].logprobs, abs=1e-3)

    async def test_a_search_thinks_what_it_thinks_with_transformers(
        self, vllm_policy: VLLMServer, searched: list[Any], tmp_path: Path
    ) -> None:
        assert await search(spec(vllm_policy), tmp_path / "served.db") == searched


def spec(server: VLLMServer) -> str:
    return f"openai:{server.name}?base_url={server.base_url}&completions=true"


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the searches come to with transformers."""
    found = asyncio.run(search(f"hf:{POLICY}", tmp_path_factory.mktemp("hf") / "hf.db"))
    assert any(one["answer"] for one in found)
    return found


async def search(model: str, db: Path) -> list[Any]:
    return [thoughts(await asolve(question, model=model, db=db, **SEARCH)) for question in QUESTIONS]


def logprobs_of(model: HFModel, prompt: tuple[int, ...], ids: tuple[int, ...]) -> list[float]:
    with torch.no_grad():
        logits = model.module(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
    rows = torch.log_softmax(logits.float(), -1)
    return [float(rows[at, token]) for at, token in enumerate(ids)]
