import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.agents.models.base import Generation, GenerationCall, Sampling
from thoughtgraph.agents.models.registry import load_model, load_scorer
from thoughtgraph.agents.models.replay import ReplayModel
from thoughtgraph.graph.errors import UnknownNameError, UserError
from thoughtgraph.tasks.numbers_steps import parse_step


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.json"
    path.write_text(json.dumps({"p": ["a"]}))
    return path


async def test_equal_specs_and_options_give_the_same_object(script: Path) -> None:
    model = load_model(f"scripted:{script}")
    assert load_model(f"scripted:{script}") is model
    assert load_model(f"scripted:{script}", chat=True) is not model
    assert await model.generate([GenerationCall("p", Sampling(9))])


@pytest.mark.parametrize("load", [load_model, load_scorer])
@pytest.mark.parametrize("spec", ["gpt-5", "openai:", ""])
def test_a_spec_without_prefix_or_name_is_a_user_error(load: Any, spec: str) -> None:
    with pytest.raises(UserError, match="is not a model; write builtin:NAME"):
        load(spec)


def test_an_unknown_prefix_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'openai'"):
        load_model("opanai:x")
    with pytest.raises(UnknownNameError, match="choose one of: builtin, hf"):
        load_scorer("openai:x")
    with pytest.raises(UnknownNameError, match="did you mean 'numbers'"):
        load_model("builtin:number")


def test_replay_is_resolved_by_the_caller() -> None:
    model = ReplayModel("m", {})
    assert load_model("replay:run-1", replay={"run-1": model}.__getitem__) is model
    with pytest.raises(UserError, match="needs the store"):
        load_model("replay:run-1")


def test_an_option_that_does_not_fit_is_named(script: Path) -> None:
    with pytest.raises(UnknownNameError, match="option 'temperature' of scripted models"):
        load_model(f"scripted:{script}", temperature=1)
    with pytest.raises(UnknownNameError, match="did you mean 'base_url'"):
        load_model("openai:x", base_ur="http://localhost")


def test_openai_without_a_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="set OPENAI_API_KEY, or give --base-url"):
        load_model("openai:gpt-5")


def test_without_torch_the_shipped_model_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec

    def without_torch(name: str, package: str | None = None) -> Any:
        return None if name == "torch" else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without_torch)
    for load in (load_model, load_scorer):
        with pytest.raises(UserError) as info:
            load("builtin:numbers", batch=3)  # another object than other tests have loaded
        assert str(info.value) == (
            "builtin:numbers needs torch and transformers; pip install 'thoughtgraph[local]'"
        )


HEAVY = (
    "torch",
    "transformers",
    "openai",
    "aiohttp",
    "langchain_core",
    "tokenizers",
    "sqlalchemy",
    "langgraph",
)


@pytest.mark.parametrize(
    "module",
    [
        "registry",
        "scheduler",
        "scripted",
        "replay",
        "latency",
        "codec",
        "scoring.trace_encoding",
        "inprocess.loading",
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str) -> None:
    code = (
        f"import sys, thoughtgraph.agents.models.{module}; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


async def test_the_shipped_model_writes_steps_of_its_game() -> None:
    model = load_model("builtin:numbers", device="cpu")
    assert model.name.startswith("builtin:numbers@")
    assert not model.chat
    call = GenerationCall("4 5 6 10 -> 24\n", Sampling(24, temperature=0.7, stop=("\n",)), n=8)
    [generation] = await model.generate([call])
    assert isinstance(generation, Generation)
    steps = [parse_step(sample.text) for sample in generation.samples if sample.finish == "stop"]
    assert sum(step is not None for step in steps) >= 6


async def test_options_may_follow_the_name_in_a_spec(script: Path) -> None:
    chatting = load_model(f"scripted:{script}?chat=true")
    assert chatting.chat
    assert load_model(f"scripted:{script}", chat=True) is chatting
    remote = load_model(
        "openai:Qwen/Qwen3-8B?base_url=http://localhost:8000/v1&completions=true&max_concurrency=7"
    )
    assert not remote.chat
    assert remote.limits.concurrency == 7


def test_options_in_a_spec_that_cannot_be_read_or_come_twice_are_user_errors(script: Path) -> None:
    with pytest.raises(UserError, match="write them as"):
        load_model(f"scripted:{script}?chat")
    with pytest.raises(UserError, match="chat is given twice"):
        load_model(f"scripted:{script}?chat=true", chat=True)
    with pytest.raises(UnknownNameError, match="did you mean 'chat'"):
        load_model(f"scripted:{script}?cat=true")
