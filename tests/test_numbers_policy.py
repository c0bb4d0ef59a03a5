"""The recipe of the shipped policy, run small; and the shipped policy itself."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import thoughtgraph.agents
from thoughtgraph.graph.errors import UserError
from thoughtgraph.tasks.numbers_puzzles import data_file
from thoughtgraph.training.numbers_data import NumbersData
from thoughtgraph.training.numbers_eval import evaluate, load_policy
from thoughtgraph.training.numbers_policy import IGNORED, Recipe, Trainer, batches, number_features

POLICY = Path(thoughtgraph.agents.__file__).parent / "builtin" / "numbers" / "policy"


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    try:
        data_file("24.csv")
    except UserError as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)
    return Recipe(tmp_path / "policy", steps=6, batch=8, hidden=32, layers=1, heads=2)


def test_resuming_gives_the_weights_of_an_uninterrupted_run(recipe: Recipe, tmp_path: Path) -> None:
    whole = Trainer(replace(recipe, out=tmp_path / "whole"))
    whole.run()
    first = Trainer(recipe)
    stream = batches(NumbersData(recipe.seed), first.tokenizer, recipe.batch)
    for _ in range(4):
        first.update(*next(stream))
    first.checkpoint()
    resumed = Trainer(recipe)
    resumed.run()
    assert resumed.step == 6
    state = resumed.model.state_dict()
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    assert sorted(p.name for p in recipe.out.iterdir()) == [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_a_checkpoint_of_another_recipe_is_refused(recipe: Recipe) -> None:
    Trainer(recipe).checkpoint()
    with pytest.raises(UserError, match="of another recipe"):
        Trainer(replace(recipe, seed=1)).run()


def test_only_solutions_are_learned(recipe: Recipe) -> None:
    trainer = Trainer(recipe)
    ids, labels = next(batches(NumbersData(0), trainer.tokenizer, 8))
    assert ids.shape == labels.shape
    for row, marks in zip(ids, labels, strict=True):
        learned = row[marks != IGNORED]
        text = "".join(trainer.tokenizer.convert_ids_to_tokens([int(i) for i in learned]))
        assert text.endswith(")\n<eos>")
        assert "->" not in text
        assert text.startswith(tuple("-0123456789"))


def test_it_learns(recipe: Recipe) -> None:
    trainer = Trainer(replace(recipe, steps=100, hidden=64))
    ids, labels = next(batches(NumbersData(0), trainer.tokenizer, 8))
    losses = [trainer.update(ids, labels) for _ in range(100)]
    assert losses[-1] < 0.5 * losses[0]


def test_number_features_tell_every_number_apart() -> None:
    features = number_features(64)
    assert features.shape == (1000, 64)
    assert float(features.std()) == pytest.approx(1.0, abs=0.1)
    distances = torch.cdist(features, features) + torch.eye(1000) * 9
    assert float(distances.min()) > 0.05


def test_the_shipped_policy_is_small_and_loads_in_single_precision() -> None:
    model, tokenizer = load_policy(POLICY)
    assert model.dtype == torch.float32
    assert len(tokenizer) == model.config.vocab_size
    assert sum(p.stat().st_size for p in POLICY.iterdir()) <= 6 * 1024**2


def test_the_shipped_policy_has_the_validation_figures_shipped_with_it() -> None:
    metrics = json.loads((POLICY / "metrics.json").read_text(encoding="utf-8"))
    recorded = metrics["validation"]
    assert (recorded["task"], recorded["split"], recorded["problems"]) == ("game24", "val", 100)
    try:
        data_file("24.csv")
    except UserError as error:
        pytest.skip(str(error))
    torch.set_num_threads(1)
    figures = evaluate(*load_policy(POLICY), split="val", samples=4)
    assert figures.greedy == pytest.approx(recorded["greedy"], abs=0.02)  # rounding may turn a near tie
    assert figures.per_sample == pytest.approx(recorded["per_sample"], abs=0.07)  # 400 samples, not 3200
