"""The same weights give the same scores in this process and on a vLLM pooling server, for every format."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.models.base import Trace, score_kind
from thoughtgraph.agents.models.registry import load_scorer
from thoughtgraph.agents.models.scoring.formats import make_format
from thoughtgraph.agents.models.scoring.pooling import PoolingScorer
from thoughtgraph.agents.models.scoring.step_scorer import HFStepScorer
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError

from .scoring_world import (
    OTHER,
    QUESTION,
    SPECIAL,
    STEPS,
    make_tokenizer,
    save_model,
    save_reward_model,
    save_v_head,
)
from .vllm_server import VLLMServer, running, vllm_python

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PATHS = [(QUESTION, STEPS), (QUESTION, STEPS[:1]), (QUESTION, OTHER), ("2 + 2?\n", OTHER[:1])]
TOLERANCE = 1e-3


def by_token(step_tag: int | None = None) -> tuple[str, ...]:
    """Return the flags of a server that scores whole traces: at a tag, or at all tokens."""
    pooler: dict[str, Any] = {"task": "token_classify", "tok_pooling_type": "ALL"}
    if step_tag is not None:
        pooler |= {"tok_pooling_type": "STEP", "step_tag_id": step_tag}
    return ("--pooler-config", json.dumps(pooler))


def answering(bad: str, good: str) -> tuple[str, ...]:
    """Return the flags that make a classifier of a model which answers with tokens."""
    overrides = {
        "architectures": ["LlamaForSequenceClassification"],
        "classifier_from_token": [bad, good],
        "method": "from_2_way_softmax",
    }
    return ("--hf-overrides", json.dumps(overrides))


def served(folder: Path, logs: Path, *flags: str, name: str) -> AbstractContextManager[VLLMServer]:
    """Serve one model until the block ends: all of them at once would not fit in the memory of a small machine."""
    usual = ("--runner", "pooling", "--max-model-len", "512")
    return running(vllm_python(), folder, *usual, *flags, log=logs / "vllm.log", name=name)


def as_token_classifier(folder: Path) -> Path:
    """Return a copy of a Skywork model that vLLM can serve: its head renamed to `score`, with its bias."""
    import safetensors.torch

    store: Any = safetensors.torch
    copy = folder.with_name(f"{folder.name}-score")
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    tensors = store.load_file(folder / "model.safetensors")
    renamed = {name.replace("v_head.summary", "score"): tensor for name, tensor in tensors.items()}
    store.save_file(renamed, copy / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((copy / "config.json").read_text())
    config |= {"architectures": ["Qwen2ForTokenClassification"], "num_labels": 1}
    (copy / "config.json").write_text(json.dumps(config))
    return copy


@dataclass(frozen=True)
class Case:
    """A model on disk, and what serves it."""

    format: str
    folder: Path
    served: Path
    flags: tuple[str, ...]


def make_case(name: str, folder: Path) -> Case:
    """Write a model of a format."""
    tag = make_format(name.partition(":")[0], make_tokenizer()).tag
    match name:
        case "step":
            save_model(folder, "LlamaForTokenClassification")
            return Case("step", folder, folder, by_token(tag))
        case "qwen":
            save_reward_model(folder)
            return Case("qwen", folder, folder, by_token(tag))
        case "plus_minus":
            save_model(folder, "LlamaForCausalLM")
            return Case("plus_minus", folder, folder, (*answering("-", "+"), *by_token(tag)))
        case "rlhflow":
            save_model(folder, "LlamaForCausalLM")
            return Case("rlhflow", folder, folder, (*answering("-", "+"), *by_token()))
        case "skywork":
            save_v_head(folder)
            return Case("skywork", folder, as_token_classifier(folder), by_token(tag))
        case "step:two":
            save_model(folder, "LlamaForTokenClassification", num_labels=2)
            return Case("step", folder, folder, by_token())
        case _:
            save_model(folder, "LlamaForSequenceClassification")
            return Case(name, folder, folder, ())


async def scores(scorer: Any, traces: Sequence[Trace]) -> list[list[float]]:
    """Return scores, all of which must be there."""
    results = await scorer.score(traces)
    assert not [result for result in results if isinstance(result, ModelError)], results
    return results


@pytest.mark.parametrize(
    "name", ["step", "step:two", "qwen", "plus_minus", "rlhflow", "skywork", "orm", "value"]
)
async def test_a_server_and_this_process_give_the_same_scores(name: str, tmp_path: Path) -> None:
    case = make_case(name, tmp_path / "model")
    with served(case.served, tmp_path, *case.flags, name="prm") as server:
        spec = f"pooling:prm?base_url={server.url}&format={case.format}&tokenizer={case.folder}"
        remote: Any = load_scorer(spec)
        local = HFStepScorer(case.folder, device="cpu", format=case.format)
        assert score_kind(remote) == score_kind(local)
        newest = [Trace(*path, newest=True) for path in PATHS]
        whole = [] if score_kind(local) == "outcome" else [Trace(*path) for path in PATHS]
        here, there = await scores(local, [*newest, *whole]), await scores(remote, [*newest, *whole])
        assert len({round(one[-1], 2) for one in here}) > 1  # the model is not constant, so the test can fail
        for one, other in zip(here, there, strict=True):
            assert other == pytest.approx(one, abs=TOLERANCE)
        long = Trace(QUESTION, STEPS * 20, newest=True)
        [refused, fine] = await remote.score([long, newest[0]])
        assert isinstance(refused, ModelError)
        assert "context" in str(refused)
        assert fine == pytest.approx(here[0], abs=TOLERANCE)  # a bad trace fails alone
        absent: Any = load_scorer(spec.replace("pooling:prm", "pooling:other"))
        with pytest.raises(ModelUnavailableError, match="no model 'other', but prm"):
            await absent.score(newest[:1])
        await remote.aclose()


async def test_a_tokenizer_that_does_not_fit_the_served_model_is_told(tmp_path: Path) -> None:
    case = make_case("step", tmp_path / "model")
    with served(case.served, tmp_path, *case.flags, name="prm") as server:
        other = make_tokenizer(special=("<|step|>", "<pad>", "<bos>", "<eos>"))  # its step tag is another id
        other.save_pretrained(tmp_path / "other")
        swapped = make_tokenizer(special=(*SPECIAL[:-2], "<|step|>", "<extra_0>"))  # two ids, and no others
        swapped.save_pretrained(tmp_path / "swapped")
        for tokenizer in ("other", "swapped"):
            scorer = PoolingScorer(
                "prm", base_url=server.url, tokenizer=str(tmp_path / tokenizer), format="step"
            )
            with pytest.raises(ModelUnavailableError, match="is not that of the served model"):
                await scorer.score([Trace(QUESTION, STEPS)])
            await scorer.aclose()


async def test_a_step_model_served_to_classify_gives_the_newest_states_value(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "LlamaForTokenClassification")
    pooler = json.dumps({"task": "classify", "seq_pooling_type": "LAST"})
    overrides = json.dumps({"architectures": ["LlamaForSequenceClassification"]})
    with served(
        folder,
        tmp_path,
        "--enable-prefix-caching",
        "--pooler-config",
        pooler,
        "--hf-overrides",
        overrides,
        name="value",
    ) as server:
        remote = PoolingScorer(
            "value", base_url=f"{server.url}/v1", tokenizer=str(folder), format="step", task="classify"
        )
        local = HFStepScorer(folder, device="cpu")
        traces = [Trace(QUESTION, STEPS[:k], newest=True) for k in (1, 2, 3)] + [Trace(QUESTION, STEPS)]
        for one, other in zip(await scores(local, traces), await scores(remote, traces), strict=True):
            assert other == pytest.approx(one, abs=TOLERANCE)
        await remote.aclose()
