"""Scoring models of every format in this process, against their weights used by hand."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

from thoughtgraph.agents.models.base import Trace, score_kind
from thoughtgraph.agents.models.registry import load_scorer
from thoughtgraph.agents.models.scoring.formats import make_format
from thoughtgraph.agents.models.scoring.step_scorer import HFStepScorer
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UnknownNameError, UserError

from .scoring_world import (
    OTHER,
    QUESTION,
    STEPS,
    make_tokenizer,
    save_model,
    save_reward_model,
    save_v_head,
)

library: Any = transformers
store: Any = safetensors.torch
TRACES = [
    Trace(QUESTION, STEPS),
    Trace(QUESTION, STEPS[:1]),
    Trace(QUESTION, OTHER),
    Trace("2 + 2?\n", OTHER),
]


def outputs(folder: Path, kind: str, name: str, trace: Trace) -> Any:
    """Return what a model of transformers gives at each token of a trace."""
    model: Any = getattr(library, kind).from_pretrained(folder).eval()
    encoded = make_format(name, make_tokenizer()).encode(trace.prompt, trace.steps)
    with torch.inference_mode():
        result = model(torch.tensor([encoded.ids]))
    return encoded.tags, result


def sigmoid(logit: Any) -> float:
    return 1 / (1 + math.exp(-float(logit)))


def softmax(bad: Any, good: Any) -> float:
    return math.exp(float(good)) / (math.exp(float(bad)) + math.exp(float(good)))


async def check(scorer: HFStepScorer, expected: Sequence[float], trace: Trace = TRACES[0]) -> None:
    """Compare scores with those computed by hand, alone and in a batch, and of the newest step."""
    assert await scorer.score([trace]) == [pytest.approx(expected, abs=1e-5)]
    [together, *_] = await scorer.score([trace, *TRACES])
    assert together == pytest.approx(expected, abs=1e-5)
    newest = Trace(trace.prompt, trace.steps, newest=True)
    assert await scorer.score([newest]) == [pytest.approx(expected[-1:], abs=1e-5)]
    assert len({round(score, 3) for score in expected}) == len(expected)  # not constant, so the test can fail


@pytest.mark.parametrize("labels", [1, 2])
async def test_step_heads_of_one_and_of_two_labels(tmp_path: Path, labels: int) -> None:
    folder = save_model(tmp_path / "prm", "LlamaForTokenClassification", num_labels=labels)
    tags, result = outputs(folder, "LlamaForTokenClassification", "step", TRACES[0])
    rows = [result.logits[0, tag] for tag in tags]
    scorer = HFStepScorer(folder, device="cpu", batch=2)
    await check(scorer, [sigmoid(*row) if labels == 1 else softmax(*row) for row in rows])
    assert score_kind(scorer) == "step"


async def test_a_process_reward_model_of_qwen_without_its_code(tmp_path: Path) -> None:
    folder = save_reward_model(tmp_path / "qwen")
    tags, result = outputs(folder, "Qwen2Model", "qwen", TRACES[0])
    head = store.load_file(folder / "model.safetensors")
    hidden = [result.last_hidden_state[0, tag] for tag in tags]
    inner = [torch.relu(head["score.0.weight"] @ h + head["score.0.bias"]) for h in hidden]
    rows = [head["score.2.weight"] @ h + head["score.2.bias"] for h in inner]
    scorer = HFStepScorer(folder, device="cpu")
    await check(scorer, [softmax(*row) for row in rows])
    assert scorer.name.endswith("/qwen")


async def test_a_score_of_exactly_zero_is_kept(tmp_path: Path) -> None:
    # the model card's own snippet drops scores that are 0 from the list, and so gives the next step's to this one
    folder = save_reward_model(tmp_path / "sure")
    scorer = HFStepScorer(folder, device="cpu")
    head: Any = scorer._network.head  # pyright: ignore[reportPrivateUsage]
    with torch.no_grad():
        head[-1].weight.zero_()
        head[-1].bias.copy_(torch.tensor([2000.0, -2000.0]))
    assert await scorer.score([Trace(QUESTION, STEPS)]) == [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize("name", ["plus_minus", "rlhflow"])
async def test_models_that_answer_with_tokens(tmp_path: Path, name: str) -> None:
    folder = save_model(tmp_path / "prm", "LlamaForCausalLM")
    tags, result = outputs(folder, "LlamaForCausalLM", name, TRACES[0])
    bad, good = make_format(name, make_tokenizer()).answers or (0, 0)
    scorer = HFStepScorer(folder, device="cpu", format=name)
    await check(scorer, [softmax(result.logits[0, tag, bad], result.logits[0, tag, good]) for tag in tags])
    turned: Any = load_scorer(f"hf:{folder}?format={name}&good=-&bad=%2B", device="cpu")
    [there], [back] = await scorer.score(TRACES[1:2]), await turned.score(TRACES[1:2])
    assert isinstance(there, list)
    assert isinstance(back, list)
    if name == "plus_minus":  # in rlhflow's chats earlier answers are part of the trace
        assert there[0] + back[0] == pytest.approx(1, abs=1e-5)
    assert turned.name != scorer.name


async def test_an_answering_model_turned_into_a_step_head_scores_the_same(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "prm", "LlamaForCausalLM")
    bad, good = make_format("plus_minus", make_tokenizer()).answers or (0, 0)
    language: Any = library.LlamaForCausalLM.from_pretrained(folder)
    converted: Any = library.LlamaForTokenClassification.from_pretrained(folder, num_labels=1)
    with torch.no_grad():
        rows = language.lm_head.weight
        converted.score.weight.copy_((rows[good] - rows[bad])[None])
        converted.score.bias = None
    converted.config.token_classification_bias = False
    converted.save_pretrained(tmp_path / "converted")
    make_tokenizer().save_pretrained(tmp_path / "converted")
    answering = HFStepScorer(folder, device="cpu", format="plus_minus")
    headed = HFStepScorer(tmp_path / "converted", device="cpu", format="plus_minus")
    for one, other in zip(await answering.score(TRACES), await headed.score(TRACES), strict=True):
        assert one == pytest.approx(other, abs=1e-5)


async def test_a_v_head_beside_a_language_model(tmp_path: Path) -> None:
    folder = save_v_head(tmp_path / "skywork")
    tags, result = outputs(folder, "Qwen2Model", "skywork", TRACES[0])
    head = store.load_file(folder / "model.safetensors")
    weight, bias = head["v_head.summary.weight"][0], head["v_head.summary.bias"][0]
    rows = [weight @ result.last_hidden_state[0, tag] + bias for tag in tags]
    await check(HFStepScorer(folder, device="cpu"), [sigmoid(row) for row in rows])


async def test_an_outcome_model_scores_whole_solutions(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "orm", "LlamaForSequenceClassification")
    _, result = outputs(folder, "LlamaForSequenceClassification", "orm", TRACES[0])
    scorer = HFStepScorer(folder, device="cpu")
    assert score_kind(scorer) == "outcome"
    newest = Trace(QUESTION, STEPS, newest=True)
    other = Trace(QUESTION, OTHER, newest=True)
    [score, worse, each] = await scorer.score([newest, other, Trace(QUESTION, STEPS)])
    assert score == pytest.approx([sigmoid(result.logits[0, 0])], abs=1e-5)
    assert isinstance(worse, list)
    assert len(worse) == 1
    assert isinstance(each, ModelError)
    assert "whole solutions" in str(each)


async def test_a_value_is_that_of_each_state(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "value", "LlamaForSequenceClassification")
    states = [
        outputs(folder, "LlamaForSequenceClassification", "value", Trace(QUESTION, STEPS[:k]))[1]
        for k in (1, 2, 3)
    ]
    scorer = HFStepScorer(folder, device="cpu", format="value")
    await check(scorer, [sigmoid(state.logits[0, 0]) for state in states])
    assert score_kind(scorer) == "step"


async def test_equal_traces_and_beginnings_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = HFStepScorer(save_model(tmp_path / "prm", "LlamaForTokenClassification"), device="cpu")
    network: Any = scorer._network  # pyright: ignore[reportPrivateUsage]
    original, computed = network.rows, list[int]()

    def rows(traces: Sequence[Any], pad: int) -> Any:
        computed.append(len(traces))
        return original(traces, pad)

    monkeypatch.setattr(scorer, "_network", type("Spy", (), {"rows": staticmethod(rows), "causal": True}))
    traces = [Trace(QUESTION, STEPS[:k], newest=newest) for k in (1, 2, 3) for newest in (True, False)]
    results = await scorer.score([*traces, *traces])
    assert computed == [1]
    whole: Any = results[5]
    assert results[:6] == [whole[:1], whole[:1], whole[1:2], whole[:2], whole[2:], whole]
    assert results[6:] == results[:6]


async def test_a_trace_without_a_step(tmp_path: Path) -> None:
    scorer = HFStepScorer(save_model(tmp_path / "prm", "LlamaForTokenClassification"), device="cpu")
    nothing, newest = await scorer.score([Trace(QUESTION, ()), Trace(QUESTION, (), newest=True)])
    assert nothing == []
    assert isinstance(newest, ModelError)


async def test_a_tokenizer_with_more_tokens_than_the_model_is_told(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "prm", "LlamaForTokenClassification", vocab_size=100)
    [result] = await HFStepScorer(folder, device="cpu").score(TRACES[:1])
    assert isinstance(result, ModelError)
    assert "the tokenizer does not fit" in str(result)


def test_a_model_without_the_head_says_what_it_has_and_what_is_needed(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "policy", "LlamaForCausalLM")
    with pytest.raises(UserError, match=r"LlamaForCausalLM, with no head for scores.*format=plus_minus"):
        HFStepScorer(folder, device="cpu")
    with pytest.raises(
        ModelUnavailableError, match=r"no head for scores; the format step needs 'score\.weight'"
    ):
        HFStepScorer(folder, device="cpu", format="step")
    three = save_model(tmp_path / "three", "LlamaForTokenClassification", num_labels=3)
    with pytest.raises(ModelUnavailableError, match="3 labels"):
        HFStepScorer(three, device="cpu")
    save_model(tmp_path / "broken", "Qwen2ForCausalLM")
    config = tmp_path / "broken" / "config.json"
    config.write_text(config.read_text().replace("Qwen2ForCausalLM", "Qwen2ForProcessRewardModel"))
    with pytest.raises(ModelUnavailableError, match=r"lack 'score\.0\.weight'"):
        HFStepScorer(tmp_path / "broken", device="cpu")


def test_specs_choose_format_and_marks(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "policy", "LlamaForCausalLM")
    with pytest.raises(UnknownNameError, match="unknown format"):
        load_scorer(f"hf:{folder}?format=plus", device="cpu")
    with pytest.raises(UserError, match="has no 'step_tag'"):
        load_scorer(f"hf:{folder}?format=rlhflow&step_tag=x", device="cpu")


async def test_a_policy_and_a_scorer_of_other_tokenizers_go_together(tmp_path: Path) -> None:
    # a trace is text, and each model writes it in its own tokens
    ours = HFStepScorer(save_model(tmp_path / "a", "LlamaForTokenClassification"), device="cpu")
    other: Any = make_tokenizer(special=("<|step|>", "<pad>", "<bos>", "<eos>"))
    theirs = HFStepScorer(save_model(tmp_path / "b", "LlamaForTokenClassification", other), device="cpu")
    format_, foreign = make_format("step", make_tokenizer()), make_format("step", other)
    assert format_.encode(QUESTION, STEPS).ids != foreign.encode(QUESTION, STEPS).ids
    for scorer in (ours, theirs):
        [scores] = await scorer.score(TRACES[:1])
        assert isinstance(scores, list)
        assert len(scores) == 3
