import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForTokenClassification

from thoughtgraph.agents.models.base import Trace
from thoughtgraph.agents.models.scoring.step_scorer import HFStepScorer
from thoughtgraph.agents.models.scoring.trace_encoding import STEP_TAG, encode_trace, step_tag_id
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UserError
from thoughtgraph.training.tokenizer import build_tokenizer

# transformers and torch are partly untyped
Scorer: Any = LlamaForTokenClassification
Policy: Any = LlamaForCausalLM
Config: Any = LlamaConfig
tokenizer: Any = build_tokenizer()

QUESTION = "4 5 6 10 -> 24\n"
STEPS = ("4 * 5 = 20 (left: 6 10 20)", "20 - 6 = 14 (left: 10 14)", "10 + 14 = 24 (left: 24)")


def save_scorer(folder: Path, **config: Any) -> Path:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    shape = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 128,
        "initializer_range": 0.3,
        "num_labels": 1,
        "classifier_dropout": 0.0,
        "token_classification_bias": False,
    }
    Scorer(Config(**shape | config)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> HFStepScorer:
    return HFStepScorer(save_scorer(tmp_path_factory.mktemp("scorer")), device="cpu", batch=4)


def test_a_trace_is_encoded_piece_by_piece_with_tags_by_id() -> None:
    encoded = encode_trace(tokenizer, QUESTION, STEPS[:2])
    tag = step_tag_id(tokenizer)
    assert [encoded.ids[at] for at in encoded.tags] == [tag, tag]
    assert encoded.tags[-1] == len(encoded.ids) - 1
    assert tokenizer.decode(encoded.ids) == (f"<bos>{QUESTION}{STEPS[0]}\n{STEP_TAG}{STEPS[1]}\n{STEP_TAG}")
    assert encode_trace(tokenizer, QUESTION, [step + "\n" for step in STEPS[:2]]) == encoded
    assert encoded.ids[: encoded.tags[0] + 1] == encode_trace(tokenizer, QUESTION, STEPS[:1]).ids


@pytest.mark.parametrize(("prompt", "steps"), [(QUESTION, ("4 + 5<|step|>",)), ("<|step|>\n", STEPS)])
def test_text_cannot_smuggle_a_step_tag_in(prompt: str, steps: tuple[str, ...]) -> None:
    with pytest.raises(ModelError, match="spells the step tag"):
        encode_trace(tokenizer, prompt, steps)


async def test_a_batch_scores_like_each_trace_alone_and_each_prefix_alone(scorer: HFStepScorer) -> None:
    traces = [
        Trace(QUESTION, STEPS),
        Trace(QUESTION, STEPS[:1]),
        Trace("1 2 3 4 -> 24\n", ("1 + 2 = 3 (left: 3 3 4)",)),
        Trace(QUESTION, ()),
        Trace(QUESTION, STEPS[:2]),
        Trace(QUESTION, (STEPS[1],)),
        Trace("2 2 6 6 -> 24\n", ("2 + 2 = 4 (left: 4 6 6)", "6 / 6 = 1 (left: 1 4)")),
        Trace("1 1 1 1 -> 24\n", ("1 + 1 = 2 (left: 1 1 2)",)),
        Trace(QUESTION, STEPS),
    ]
    together = await scorer.score(traces)
    for trace, scores in zip(traces, together, strict=True):
        [alone] = await scorer.score([trace])
        assert scores == pytest.approx(alone, abs=1e-5)
        assert isinstance(scores, list)
        assert len(scores) == len(trace.steps)
        assert all(0 <= score <= 1 for score in scores)
    [whole, *_] = together
    assert isinstance(whole, list)
    assert len({round(score, 3) for score in whole}) == 3  # the model is not constant, so the test can fail


async def test_scores_are_the_sigmoid_of_the_head_at_the_tags(scorer: HFStepScorer, tmp_path: Path) -> None:
    model = Scorer.from_pretrained(save_scorer(tmp_path / "same")).eval()
    encoded = encode_trace(tokenizer, QUESTION, STEPS)
    with torch.inference_mode():
        logits = model(torch.tensor([encoded.ids])).logits[0, :, 0]
    expected = [1 / (1 + math.exp(-float(logits[at]))) for at in encoded.tags]
    assert await scorer.score([Trace(QUESTION, STEPS)]) == [pytest.approx(expected, abs=1e-5)]


async def test_bad_traces_fail_alone(scorer: HFStepScorer) -> None:
    good = Trace(QUESTION, STEPS[:1])
    smuggled = Trace(QUESTION, (STEPS[0], f"{STEP_TAG}"))
    long = Trace(QUESTION, STEPS * 4)
    first, second, third = await scorer.score([smuggled, good, long])
    assert isinstance(first, ModelError)
    assert isinstance(second, list)
    assert isinstance(third, ModelError)
    assert "context" in str(third)


async def test_a_score_that_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    scorer = HFStepScorer(save_scorer(tmp_path / "nan"), device="cpu")
    with torch.no_grad():
        scorer._network.head.weight.fill_(math.nan)  # pyright: ignore[reportPrivateUsage]
    [result, empty] = await scorer.score([Trace(QUESTION, STEPS), Trace("1 2 3 -> 6\n", ())])
    assert isinstance(result, ModelError)
    assert "not a number" in str(result)
    assert empty == []


def test_what_is_no_step_scorer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="3 labels"):
        HFStepScorer(save_scorer(tmp_path / "three", num_labels=3), device="cpu")
    config = Scorer.from_pretrained(save_scorer(tmp_path / "one")).config
    Policy(config).save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    with pytest.raises(UserError, match="no head for scores"):
        HFStepScorer(tmp_path / "policy", device="cpu")


def test_a_tokenizer_without_the_tag_is_refused() -> None:
    class Untagged:
        def get_vocab(self) -> dict[str, int]:
            return {"a": 0}

        def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
            return [0] * len(text)

    with pytest.raises(UserError, match=r"no token '<\|step\|>'"):
        encode_trace(Untagged(), "a", ("a",))
