import asyncio
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sample, Sampling, Trace
from thoughtgraph.agents.models.codec import generation_from_json, generation_to_json
from thoughtgraph.agents.models.latency import LatencyModel
from thoughtgraph.agents.models.replay import ReplayModel
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, StoreError, UserError


def call(
    prompt: str | tuple[Message, ...] = "p",
    n: int = 1,
    first: int = 0,
    stop: tuple[str, ...] = (),
    limit: int = 99,
) -> GenerationCall:
    return GenerationCall(prompt, Sampling(limit, stop=stop), n=n, first_sample=first)


def texts(result: Generation | ModelError) -> list[str]:
    assert isinstance(result, Generation)
    return [sample.text for sample in result.samples]


async def test_a_list_is_consumed_in_order_and_fails_loudly_when_it_runs_out() -> None:
    model = ScriptedModel(["a", "b", "c"])
    assert texts((await model.generate([call(n=2)]))[0]) == ["a", "b"]
    with pytest.raises(ModelUnavailableError, match=r"1 of 2 outputs for the prompt 'what now\?'"):
        await model.generate([call("what now?", n=2)])


async def test_a_mapping_answers_by_prompt_and_sample_whatever_the_order() -> None:
    model = ScriptedModel({"p": ["0", "1", "2"], "q": ["other"]})
    late, early, other = await model.generate([call(n=1, first=2), call(n=2), call("q")])
    assert (texts(late), texts(early), texts(other)) == (["2"], ["0", "1"], ["other"])
    with pytest.raises(ModelUnavailableError, match="'unknown'"):
        await model.generate([call("unknown")])


async def test_a_chat_is_looked_up_by_its_last_turn() -> None:
    model = ScriptedModel({"hello": ["hi"]}, chat=True)
    turns = (Message("system", "be kind"), Message("user", "hello"))
    [answer] = await model.generate([call(turns)])
    assert texts(answer) == ["hi"]
    assert isinstance(answer, Generation)
    assert answer.prompt_tokens == 3


async def test_texts_end_like_a_models() -> None:
    model = ScriptedModel(lambda _: ["one two\nthree", "one two three four", "one two"])
    [answer] = await model.generate([call(n=3, stop=("\n",), limit=3)])
    assert isinstance(answer, Generation)
    assert [(s.text, s.finish, s.tokens) for s in answer.samples] == [
        ("one two", "stop", 2),
        ("one two three", "length", 3),
        ("one two", "end", 2),
    ]
    assert all("".join(s.pieces or ()) == s.text for s in answer.samples)


async def test_a_function_may_fail_one_call_and_give_whole_samples() -> None:
    whole = Sample("x", "filter", 7)

    def script(asked: GenerationCall) -> list[Sample]:
        if asked.prompt == "bad":
            raise ModelError("broken")
        return [whole] * asked.n

    good, bad = await ScriptedModel(script).generate([call(), call("bad")])
    assert isinstance(good, Generation)
    assert good.samples == (whole,)
    assert isinstance(bad, ModelError)


@pytest.mark.parametrize(
    ("name", "content", "prompt", "expected"),
    [
        ("s.json", '["a", "b"]', "any", ["a", "b"]),
        ("s.json", '{"p": ["a", "b"]}', "p", ["a", "b"]),
        ("s.json", '[{"prompt": "p", "outputs": ["a"]}, {"prompt": "p", "outputs": ["b"]}]', "p", ["a", "b"]),
        ("s.jsonl", '{"outputs": ["a"]}\n{"outputs": ["b"]}\n', "any", ["a", "b"]),
    ],
)
async def test_scripts_are_read_from_files(
    tmp_path: Path, name: str, content: str, prompt: str, expected: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(content)
    model = ScriptedModel.from_file(path)
    assert model.name.startswith("scripted:s@")
    assert texts((await model.generate([call(prompt, n=2)]))[0]) == expected


@pytest.mark.parametrize(
    "content",
    ["not json", "3", '[{"prompt": "p"}]', '[{"outputs": ["a"]}, {"prompt": "p", "outputs": ["b"]}]'],
)
def test_a_file_that_is_no_script_is_a_user_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"s\.json"):
        ScriptedModel.from_file(path)


def test_the_name_of_a_file_script_changes_with_its_content(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text('["a"]')
    first = ScriptedModel.from_file(path).name
    path.write_text('["b"]')
    assert ScriptedModel.from_file(path).name != first


async def test_a_scripted_scorer_knows_its_steps_only() -> None:
    scorer = ScriptedScorer({"a": 0.25, "b": 1.0})
    good, bad = await scorer.score([Trace("q", ("a", "b")), Trace("q", ("z",))])
    assert good == [0.25, 1.0]
    assert isinstance(bad, ModelError)
    assert "'z'" in str(bad)


samples = st.builds(
    Sample,
    text=st.text(),
    finish=st.sampled_from(["stop", "end", "length", "filter"]),
    tokens=st.integers(0, 99),
    token_ids=st.none() | st.lists(st.integers(0, 2**31)).map(tuple),
    logprobs=st.none() | st.lists(st.floats(-1e9, 0)).map(tuple),
    pieces=st.none() | st.lists(st.text()).map(tuple),
)
generations = st.builds(
    Generation,
    samples=st.lists(samples).map(tuple),
    prompt_tokens=st.integers(0, 99),
    prompt_token_ids=st.none() | st.lists(st.integers(0, 9)).map(tuple),
)


@given(generations)
def test_generations_survive_json(generation: Generation) -> None:
    assert generation_from_json(json.loads(json.dumps(generation_to_json(generation)))) == generation


@pytest.mark.parametrize("value", [{}, {"samples": [{"text": "a"}], "prompt_tokens": 1}])
def test_a_malformed_record_is_a_store_error(value: dict[str, object]) -> None:
    with pytest.raises(StoreError, match="malformed"):
        generation_from_json(value)


async def test_a_replay_answers_what_was_recorded_and_nothing_else() -> None:
    first, second = (Generation((Sample(t, "end", 1),), 1) for t in ("a", "b"))
    record = {call("p").id("m1"): first, call("q").id("m2"): second}
    model = ReplayModel(("m1", "m2"), record)
    assert model.name == "m1"
    assert await model.generate([call("p"), call("q")]) == [first, second]
    [missing] = await model.generate([call("r")])
    assert isinstance(missing, ModelError)
    assert "diverged" in str(missing)


async def test_latency_derives_from_the_call_and_slots_are_bounded() -> None:
    def slow() -> LatencyModel:
        return LatencyModel(ScriptedModel(lambda c: [str(c.prompt)]), mean=0.01, slots=4, seed=3)

    model, again = slow(), slow()
    calls = [call(f"p{i}") for i in range(24)]
    delays = [model.delay(c) for c in calls]
    assert delays == [again.delay(c) for c in reversed(calls)][::-1]
    assert len(set(delays)) == 24
    results = await asyncio.gather(*(model.generate([c]) for c in calls))
    assert [texts(result) for [result] in results] == [[f"p{i}"] for i in range(24)]
    assert model.busy_s >= sum(delays) * 0.99
    assert 0.3 < model.utilisation <= 1


def test_latency_has_the_mean_that_was_asked_for() -> None:
    model = LatencyModel(ScriptedModel([]), mean=0.02, sigma=0.8)
    delays = [model.delay(call(str(i))) for i in range(20_000)]
    # standard error of the mean: 0.02 * sqrt(exp(0.64) - 1) / sqrt(20000) = 0.00013
    assert sum(delays) / len(delays) == pytest.approx(0.02, abs=0.0006)
