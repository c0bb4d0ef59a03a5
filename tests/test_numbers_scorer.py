"""The recipe of the shipped step scorer: what it reads, where it reads scores, that it learns; and the shipped one."""

import asyncio
import json
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

import thoughtgraph.agents
from thoughtgraph.agents.models.base import Trace
from thoughtgraph.agents.models.registry import load_scorer
from thoughtgraph.agents.models.scoring.step_scorer import HFStepScorer
from thoughtgraph.agents.models.scoring.trace_encoding import encode_trace, step_tag_id
from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.ids import address
from thoughtgraph.graph.ledger import Commit, RunSpec
from thoughtgraph.graph.records import Operator, Problem, Thought
from thoughtgraph.storage.labels import Label, add_labels, read_datasets, read_models
from thoughtgraph.storage.store import SqlStore
from thoughtgraph.tasks.numbers_puzzles import data_file, game24
from thoughtgraph.tasks.numbers_steps import SIGNS, apply
from thoughtgraph.training.numbers_data import NumbersData, Solver
from thoughtgraph.training.numbers_scorer import NAME, read_traces, train
from thoughtgraph.training.scorer_eval import (
    Point,
    Sampled,
    answer_metrics,
    auc,
    points_of,
    step_metrics,
    summarise,
    vote,
)
from thoughtgraph.training.scorer_trainer import (
    Example,
    Recipe,
    Trainer,
    batches,
    encode,
    fit_temperature,
    load_model,
    logits_of,
    odds_ratio,
)
from thoughtgraph.training.tokenizer import build_tokenizer
from thoughtgraph.training.traces import Count, LabelledTrace, Prefix, label_of

SHIPPED = Path(thoughtgraph.agents.__file__).parent / "builtin" / "numbers"
QUESTION = "1 1 4 20 -> 24"  # neither held out nor known by heart
STEPS = ("1 * 1 = 1 (left: 1 4 20)", "1 * 4 = 4 (left: 4 20)", "4 + 20 = 24 (left: 24)")


@pytest.fixture(autouse=True)
def _public_list() -> None:  # pyright: ignore[reportUnusedFunction]
    try:
        data_file("24.csv")
    except UserError as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = build_tokenizer()
    shape: dict[str, Any] = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        intermediate_size=96,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        **shape,
    )
    cast(Any, LlamaForCausalLM(config)).save_pretrained(folder)
    cast(Any, tokenizer).save_pretrained(folder)
    return folder


def trace(
    question: str = QUESTION,
    steps: tuple[str, ...] = STEPS,
    counts: tuple[Count | None, ...] = (Count(3, 4), None, Count(1, 1)),
    sample: int = 0,
    answer: str | None = "a",
) -> LabelledTrace:
    leaf = Prefix(f"{question} {sample}", "root", question, question, steps, sample, True, answer, answer)
    return LabelledTrace(leaf, counts)


def scored(trainer: Trainer, examples: Sequence[Example]) -> list[float]:
    with torch.inference_mode():
        logits = logits_of(trainer.model.eval(), examples)
    return [float(logit) for logit in logits.sigmoid()]


def test_training_reads_the_positions_that_serving_reads(policy: Path) -> None:
    tokenizer = build_tokenizer()
    example = encode(tokenizer, trace())
    served = encode_trace(tokenizer, f"{QUESTION}\n", STEPS)
    assert example.ids == served.ids
    assert example.tags == (served.tags[0], served.tags[2])
    assert example.targets == (0.75, 1.0)
    assert all(example.ids[tag] == step_tag_id(tokenizer) for tag in example.tags)


async def test_training_logits_are_the_scores_that_are_served(policy: Path, tmp_path: Path) -> None:
    examples = [
        encode(build_tokenizer(), t) for t in (trace(), trace(steps=STEPS[:1], counts=(Count(0, 1),)))
    ]
    trainer = Trainer(Recipe(policy=policy), examples, examples)
    scores = scored(trainer, examples)
    trainer.save(tmp_path / "scorer")
    [whole, short] = await HFStepScorer(tmp_path / "scorer", device="cpu").score(
        [Trace(f"{QUESTION}\n", STEPS), Trace(f"{QUESTION}\n", STEPS[:1])]
    )
    assert isinstance(whole, list)
    assert isinstance(short, list)
    assert len(set(whole)) == 3  # the model is not constant, so the test can fail
    # the saved weights are rounded to half precision
    assert scores == pytest.approx([whole[0], whole[2], short[0]], abs=2e-3)


def test_the_model_is_the_policy_under_a_bias_free_score_without_dropout(policy: Path) -> None:
    model = cast(Any, load_model(policy))
    base = cast(Any, LlamaForCausalLM).from_pretrained(policy)
    for name, weight in base.model.named_parameters():
        assert torch.equal(weight, model.model.get_parameter(name))
    assert model.score.bias is None
    assert model.score.weight.shape == (1, 48)
    assert model.config.classifier_dropout == 0.0


def test_an_epoch_has_every_example_once_and_little_padding(policy: Path) -> None:
    tokenizer = build_tokenizer()
    texts = [solution.text.splitlines() for solution in NumbersData(0).chunk(0, 50)]
    examples = [
        encode(tokenizer, trace(lines[0], tuple(lines[1:]), (Count(1, 1),) * (len(lines) - 1)))
        for lines in texts
    ]
    groups = batches(examples, 8, random.Random(1))
    assert sorted(e.ids for group in groups for e in group) == sorted(e.ids for e in examples)
    assert max(map(len, groups)) == 8
    assert groups == batches(examples, 8, random.Random(1))
    assert groups != batches(examples, 8, random.Random(2))


@pytest.mark.slow
def test_it_fits_64_traces(policy: Path) -> None:
    tokenizer = build_tokenizer()
    rng = random.Random(0)
    traces: list[LabelledTrace] = []
    for number, solution in enumerate(NumbersData(1).chunk(0, 64)):
        steps = tuple(str(step) for step in solution.steps)
        counts = tuple(Count(rng.randint(0, 1), 1) for _ in steps)
        traces.append(trace(str(solution.puzzle), steps, counts, number))
    examples = [encode(tokenizer, t) for t in traces]
    trainer = Trainer(
        Recipe(policy=policy, epochs=60, batch=16, rate=2e-3, head_factor=2.0), examples, examples
    )
    trainer.run()
    assert trainer.history[-1]["val_bce"] < 0.1
    scores = iter(scored(trainer, examples))
    rows = [[next(scores) for _ in t.counts] for t in traces]
    found = step_metrics(points_of(traces, rows))["auc"]
    assert found is not None
    assert found > 0.99


def test_the_weights_of_the_best_epoch_are_kept(policy: Path) -> None:
    def embedding(trainer: Trainer) -> torch.Tensor:
        return trainer.model.get_parameter("model.embed_tokens.weight")

    seen: list[torch.Tensor] = []

    class Watched(Trainer):
        def evaluate(self) -> tuple[float, float]:
            seen.append(embedding(self).clone())
            return super().evaluate()

    tokenizer = build_tokenizer()
    right = [encode(tokenizer, trace(counts=(Count(1, 1),) * 3))]
    wrong = [encode(tokenizer, trace(counts=(Count(0, 1),) * 3))]
    trainer = Watched(Recipe(policy=policy, epochs=3, rate=1e-2), right, wrong)
    trainer.run()
    assert trainer.best_epoch == 1
    assert trainer.history[0]["val_bce"] < trainer.history[2]["val_bce"]
    assert torch.equal(embedding(trainer), seen[0])
    assert not torch.equal(embedding(trainer), seen[2])


def test_the_odds_ratio_corrects_the_prior() -> None:
    def examples(*targets: float) -> list[Example]:
        return [Example((1,), (0,), (target,)) for target in targets]

    assert odds_ratio(examples(1, 0), examples(0.25, 0.25)) == pytest.approx(1 / 3)
    assert odds_ratio(examples(1, 1, 0), examples(0, 1)) == pytest.approx(0.5)
    assert odds_ratio(examples(1, 1), examples(0, 1)) == 1.0


def test_temperature_undoes_overconfidence() -> None:
    honest = torch.tensor([-2.0, -1.0, 0.5, 1.5, 3.0])
    temperature, loss = fit_temperature(3 * honest, honest.sigmoid())
    assert temperature == pytest.approx(3.0, rel=1e-3)
    entropy = torch.distributions.Bernoulli(logits=honest).entropy().mean()
    assert loss == pytest.approx(float(entropy), abs=1e-5)


def test_the_weights_are_calibrated_at_the_end(policy: Path) -> None:
    tokenizer = build_tokenizer()
    steps = tuple((t, encode(tokenizer, trace(counts=(Count(t, 4),) * 3))) for t in (0, 4, 3))
    examples = [example for _, example in steps]
    trainer = Trainer(Recipe(policy=policy, epochs=2, rate=3e-3), examples, examples)
    trainer.run()
    assert any(abs(figures["temperature"] - 1) > 0.05 for figures in trainer.history)
    assert trainer.evaluate()[0] == pytest.approx(1.0, abs=0.02)


def write_run(
    store: SqlStore, run: str, chains: Sequence[tuple[str, Sequence[tuple[str, int | None]]]]
) -> None:
    """Record chains of (step, successes of 2 rollouts or None for no label) and their labels."""
    spec = RunSpec(run, "numbers", "self_consistency", {"params": {"n": 2}}, 0)
    questions = list(dict.fromkeys(question for question, _ in chains))
    store.create_run(spec, [Problem(address("problem", q), "numbers", q) for q in questions])
    for question in questions:
        lease = store.claim(run, "worker", ttl=60, problem=address("problem", question))
        assert lease is not None
        root = Thought(address("root", run, question), (), Operator.GENERATE, question, 0)
        thoughts = [root]
        labels: list[Label] = []
        for sample, (_, steps) in enumerate(chain for chain in chains if chain[0] == question):
            parent = root
            for depth, (text, successes) in enumerate(steps, 1):
                last = depth == len(steps)
                parent = Thought(
                    address(run, question, sample, depth),
                    (parent.id,),
                    Operator.GENERATE,
                    text,
                    depth,
                    sample=sample,
                    terminal=last,
                    answer="x" if last else None,
                )
                thoughts.append(parent)
                if successes is not None:
                    labels.append(label_of(parent.id, "mc:p@1", Count(successes, 2)))
        store.commit(lease, Commit(tuple(thoughts)), ttl=60)
        add_labels(store.database, labels)


@pytest.fixture
def filled(tmp_path: Path) -> SqlStore:
    store = SqlStore.open(tmp_path / "labels.db")
    test = " ".join(map(str, game24("test")[3].numbers))
    held = f"1 + 1 = 2 (left: {test})"
    good = [(STEPS[0], 2), (STEPS[1], 1), (STEPS[2], 2)]
    write_run(
        store,
        "train-1",
        [
            (QUESTION, good),
            (QUESTION, good),
            (QUESTION, [("1 + 4 = 5 (left: 1 5 20)", 0)]),
            ("1 1 2 3 4 -> 24", [(held, 1), ("2 + 3 = 5 (left: 5)", 0)]),
            ("1 4 6 8 -> 24", [("1 * 4 = 4 (left: 4 6 8)", 2)]),
        ],
    )
    validation = [(str(p), [("1 + 1 = 2 (left: 2 3 4)", i % 3)]) for i, p in enumerate(game24("val")[:6])]
    write_run(store, "val-1", [*validation, *validation])
    write_run(store, "other", [(QUESTION, good)])
    return store


def test_traces_are_read_by_split_once_each_without_held_out_ones(filled: SqlStore) -> None:
    labels = read_traces(filled.database)
    assert labels.source == "mc:p@1"
    assert [(t.leaf.question, len(t.counts)) for t in labels.train] == [(QUESTION, 1), (QUESTION, 3)]
    assert labels.train[1].counts == (Count(2, 2), Count(1, 2), Count(2, 2))
    assert (labels.touching, labels.by_heart) == (1, 1)
    assert len(labels.validation) == 12
    assert labels.samples == 2


def test_labels_that_are_missing_are_a_clear_error(filled: SqlStore, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no labels"):
        read_traces(SqlStore.open(tmp_path / "empty.db").database)
    with pytest.raises(UserError, match=r"mc:q@1 labelled no training traces"):
        read_traces(filled.database, "mc:q@1")


def test_training_writes_measures_and_registers_the_model(
    filled: SqlStore, policy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scorer"
    metrics = train(filled.database, out, Recipe(policy=policy, epochs=1), None, "the command")
    assert json.loads((out / "metrics.json").read_text(encoding="utf-8")) == json.loads(json.dumps(metrics))
    assert metrics["training"] == {
        "problems": 1,
        "traces": 2,
        "labelled_steps": 4,
        "traces_left_out_by_the_data_rule": 1,
        "traces_left_out_as_known_by_heart": 1,
    }
    assert metrics["validation"]["answers"]["problems"] == 6
    [model] = read_models(filled.database, NAME)
    [dataset] = read_datasets(filled.database, "prm")
    assert (model.kind, model.base, model.dataset) == ("prm", "p@1", dataset.id)
    assert HFStepScorer(out, device="cpu").name.endswith(f"@{model.version}")
    assert dataset.rows == 2


def test_auc_is_the_chance_that_a_positive_is_above_a_negative() -> None:
    assert auc([(0.9, 1, 0), (0.1, 0, 1)]) == 1.0
    assert auc([(0.1, 1, 0), (0.9, 0, 1)]) == 0.0
    assert auc([(0.5, 1, 0), (0.5, 0, 1)]) == 0.5
    # positives at 0.8 (weight 3) and 0.4; negatives at 0.6 and 0.4: (3 * 2 + 1 * 0.5) / (4 * 2)
    assert auc([(0.8, 3, 0), (0.4, 1, 1), (0.6, 0, 1)]) == pytest.approx(6.5 / 8)
    assert auc([(0.5, 1, 0)]) is None


def test_step_metrics_weigh_rollouts() -> None:
    found = step_metrics(
        [Point(0.5, Count(2, 4), False), Point(1.0, Count(1, 1), True), Point(0.0, Count(0, 1), True)]
    )
    assert found["rollouts"] == 6
    assert found["success_rate"] == 0.5
    assert found["auc"] == 1.0
    assert found["auc_rollouts"] == pytest.approx((1 * 3 + 2 * (1 + 1)) / 9, abs=1e-4)
    assert found["brier"] == pytest.approx(4 * 0.25 / 6, abs=1e-4)
    assert found["bce"] == pytest.approx(4 * math.log(2) / 6, abs=1e-4)
    assert found["bce_floor"] == found["bce"]


def test_answers_are_chosen_by_heads_by_the_best_and_by_weight() -> None:
    samples = [
        Sampled("a", (0.9, 0.1), False),
        Sampled("a", (0.9, 0.2), False),
        Sampled("b", (0.3, 0.8), True),
    ]
    assert vote(samples, lambda _: 1.0).key == "a"
    assert vote(samples, lambda s: s.last).key == "b"
    assert vote(samples[::2], lambda _: 1.0).key == "a"  # equals: the first sample's
    found = answer_metrics({"p": samples, "q": []}, 4)
    assert found == {
        "problems": 2,
        "samples": 4,
        "per_sample": 0.125,
        "any_of_samples": 0.5,
        "majority": 0.0,
        "best_last": 0.5,
        "best_min": 0.5,
        "weighted_vote_last": 0.5,
        "weighted_vote_min": 0.0 if 0.1 + 0.2 > 0.3 else 0.5,
    }


def test_summary_splits_open_from_terminal_and_counts_a_prefix_once() -> None:
    traces = [trace(), trace(sample=1), trace(sample=2, answer=None)]
    found = summarise(traces, [[0.7, 0.6, 0.9]] * 3, 3)
    assert found["open_steps"]["prefixes"] == 1
    assert found["terminal_steps"]["prefixes"] == 1
    assert found["steps"]["rollouts"] == 5
    assert found["answers"]["per_sample"] == 0.6667


def test_the_shipped_scorer_tells_right_solutions_from_wrong_ones() -> None:
    rng, solver, scorer = random.Random(0), Solver(), load_scorer("builtin:numbers")
    right: list[Trace] = []
    wrong: list[Trace] = []
    for puzzle in game24("val")[:60]:
        *first, last = solver.sample(rng, puzzle.state)
        steps = (*map(str, first), str(last))
        right.append(Trace(f"{puzzle}\n", steps))
        results = {sign: apply(last.first, sign, last.second) for sign in SIGNS}
        sign, result = rng.choice([(s, r) for s, r in results.items() if r is not None and r != last.result])
        other = replace(last, sign=sign, result=result, left=(result,))  # exact, but not the target
        wrong.append(Trace(f"{puzzle}\n", (*steps[:-1], str(other))))
    scores = asyncio.run(scorer.score(right + wrong))
    ends = [result[-1] for result in scores if isinstance(result, list)]
    assert len(ends) == 120
    found = auc([(score, i < 60, i >= 60) for i, score in enumerate(ends)])
    assert found is not None
    assert found > 0.9


def test_the_shipped_metrics_are_of_the_shipped_recipe_and_all_is_small() -> None:
    metrics = json.loads((SHIPPED / "scorer" / "metrics.json").read_text(encoding="utf-8"))
    assert "numbers_scorer" in metrics["command"]
    assert metrics["validation"]["steps"]["auc"] > 0.8
    assert metrics["validation"]["answers"]["problems"] == 100
    answers = metrics["validation"]["answers"]
    assert answers["best_last"] > answers["per_sample"]
    files = [p for p in SHIPPED.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 12 * 1024**2
