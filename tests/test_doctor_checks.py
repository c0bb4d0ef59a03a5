"""The checks of `thoughtgraph doctor` against real servers that misbehave in one way each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest
from doctor_world import Talker
from http_server import HttpServer, replies
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from scoring_world import save_model
from vllm_server import Serve
from vllm_serving import BUILTIN, VLLMServer

from thoughtgraph.agents.models.base import GenerationCall, LanguageModel, Sample, Trace
from thoughtgraph.agents.models.langchain import LangChainModel
from thoughtgraph.agents.models.probing import Finding, probe, probe_scorer, reach
from thoughtgraph.agents.models.registry import load_model, load_scorer
from thoughtgraph.agents.models.remote.openai import OpenAIModel
from thoughtgraph.agents.models.scoring.pooling import PoolingScorer
from thoughtgraph.agents.models.scripted import ScriptedModel, ScriptedScorer
from thoughtgraph.graph.errors import ModelError

Start = Callable[..., Awaitable[HttpServer]]

ROWS = [
    "reachable", "template", "reasoning", "continuation", "stops", "seeds", "samples", "logprobs", "token_ids", "usage", "min_p", "cache",
    "speed",
]  # fmt: skip
SCORED = [("scores", "ok"), ("newest", "ok"), ("prefix", "ok"), ("score_speed", "ok")]


async def findings(model: LanguageModel) -> dict[str, Finding]:
    """Return what the checks find, by name; how fast the machine is does not matter here."""
    return {finding.name: finding async for finding in probe(model) if finding.name != "speed"}


async def examined(start: Start, *faults: str, reasons: bool | None = None) -> dict[str, Finding]:
    """Return what is not in order with a server that has these faults."""
    server = await start(Talker(*faults))
    model = OpenAIModel("m", base_url=server.url, reasons=reasons)
    async with aclosing(model):
        return {name: found for name, found in (await findings(model)).items() if found.status != "ok"}


async def test_a_good_server_has_nothing_to_note_and_is_asked_little(http_server: Start) -> None:
    server = await http_server(Talker())
    model = OpenAIModel("m", base_url=server.url)
    async with aclosing(model):
        found = [finding async for finding in probe(model)]
    assert [finding.name for finding in found] == ROWS
    assert {finding.name for finding in found if finding.status != "ok"} <= {"speed"}
    bodies = [exchange.json for exchange in server.asked if exchange.method == "POST"]
    assert len([body for body in bodies if body["max_tokens"] <= 16]) <= 25
    assert len([body for body in bodies if body["max_tokens"] > 16]) <= 17
    assert sum(body["n"] * body["max_tokens"] for body in bodies) < 1000


@pytest.mark.parametrize(
    ("fault", "row", "status", "told"),
    [
        ("no_n", "samples", "note", "billed 4 times"),
        ("alike", "samples", "note", "all the same"),
        ("no_seed", "seeds", "note", "runs do not repeat"),
        ("constant", "seeds", "note", "finds nothing new"),
        ("no_logprobs", "logprobs", "note", "judge:logprob will not work"),
        ("zero_logprobs", "logprobs", "note", "all 0"),
        ("no_alternatives", "logprobs", "note", "none of other tokens"),
        ("other_alternatives", "logprobs", "note", "do not use priors"),
        ("no_ids", "token_ids", "note", "texts only"),
        ("no_usage", "usage", "note", "upper bound"),
        ("no_cache", "cache", "note", "no cached tokens"),
        ("no_min_p", "min_p", "note", "leave out --min-p"),
        ("strips", "continuation", "note", "line end of a turn gets lost"),
        ("anew", "continuation", "note", "answered anew, with 'one"),
        (
            "new_turn",
            "continuation",
            "note",
            "cannot be told: a turn that ends with 'thr' goes on with 'three",
        ),
        ("no_continuation", "continuation", "note", "--stepping ask"),
        ("no_stop", "stops", "note", "writes on after a stop string"),
        ("ends", "stops", "problem", "finished by 'end'"),
        ("babbles", "template", "note", "may be the wrong one"),
        ("thinks", "reasoning", "note", "add ?reasons=true"),
    ],
)
async def test_a_fault_is_found_and_what_follows_is_told(
    http_server: Start, fault: str, row: str, status: str, told: str
) -> None:
    found = await examined(http_server, fault)
    assert found[row].status == status
    assert told in found[row].detail
    also = {"constant": {"samples"}, "babbles": {"continuation"}, "no_usage": {"cache"}}
    if fault != "thinks":  # all its tokens are thoughts, so there is no text to try stop strings on
        assert set(found) - {row} <= also.get(fault, set[str]()), found


async def test_several_faults_are_all_found(http_server: Start) -> None:
    found = await examined(http_server, "no_n", "no_seed", "no_logprobs", "strips", "no_cache")
    assert set(found) == {"samples", "seeds", "logprobs", "continuation", "cache"}


async def test_a_stop_that_is_ignored_is_found_by_counts_alone(http_server: Start) -> None:
    found = await examined(http_server, "no_stop", "no_logprobs")
    assert "writes on after a stop string (16 tokens here)" in found["stops"].detail


async def test_a_stripped_turn_is_found_without_usage(http_server: Start) -> None:
    found = await examined(http_server, "strips", "no_usage")
    assert "gets lost" in found["continuation"].detail


async def test_a_model_without_a_chat_template_is_a_problem_with_a_way_out(http_server: Start) -> None:
    [found] = (await examined(http_server, "no_template")).values()
    assert (found.name, found.status) == ("template", "problem")
    assert "completions=true" in found.detail


async def test_a_server_that_fails_is_a_problem(http_server: Start) -> None:
    server = await http_server(replies(b"down", 500))
    async with aclosing(OpenAIModel("m", base_url=server.url, tries=1)) as model:
        found = [finding async for finding in probe(model)]
    assert [(finding.name, finding.status) for finding in found] == [("reachable", "problem")]
    assert "500" in found[0].detail


async def test_a_server_that_is_not_there_is_not_asked_on(http_server: Start) -> None:
    server = await http_server()
    await server.stop()
    model = OpenAIModel("m", base_url=server.url, tries=1)
    async with aclosing(model):
        found = [finding async for finding in probe(model)]
        assert [(finding.name, finding.status) for finding in found] == [("reachable", "problem")]
        assert "cannot be reached" in found[0].detail
        assert (await reach(model)).status == "problem"


async def test_a_model_declared_to_think_is_asked_for_each_step(http_server: Start) -> None:
    found = await examined(http_server, "thinks", reasons=True)
    assert "reasoning" not in found
    assert "thinks before it answers" in found["continuation"].detail


async def test_the_context_is_told(http_server: Start) -> None:
    server = await http_server(Talker())
    model = OpenAIModel("m", base_url=server.url)
    async with aclosing(model):
        assert "context is 4,096 tokens" in (await reach(model)).detail


def scripted(text: str, **sample: object) -> ScriptedModel:
    def answer(call: GenerationCall) -> list[Sample]:
        return [Sample(text, "stop", 8, **sample) for _ in range(call.n)]  # pyright: ignore[reportArgumentType]

    return ScriptedModel(answer)


async def test_a_text_that_goes_on_after_the_stop_string_is_a_problem() -> None:
    found = await findings(scripted("first line\nsecond line"))
    assert found["stops"].status == "problem"
    assert "goes on after the stop string" in found["stops"].detail


async def test_log_probabilities_above_0_are_none() -> None:
    found = await findings(scripted("a line", logprobs=(-0.5, 0.5)))
    assert "are none" in found["logprobs"].detail


async def test_too_little_text_says_nothing_of_stops() -> None:
    assert "cannot be tried" in (await findings(scripted("yes")))["stops"].detail


async def test_a_failing_check_does_not_end_the_others() -> None:
    def answer(call: GenerationCall) -> list[str]:
        if call.sampling.stop:
            raise ModelError("no stop strings here")
        return ["one two three four"] * call.n

    found = await findings(ScriptedModel(answer))
    assert found["stops"] == Finding(
        "stops", "problem", "no stop strings here; a search by steps needs stop strings"
    )
    assert [*found, "speed"] == ROWS


async def test_the_shipped_models_are_in_order() -> None:
    found = await findings(load_model("builtin:numbers"))
    assert {name for name, finding in found.items() if finding.status != "ok"} == set(), found
    scored = [finding async for finding in probe_scorer(load_scorer("builtin:numbers"))]
    assert [(finding.name, finding.status) for finding in scored] == SCORED


async def test_a_chat_model_in_this_process_goes_on_with_its_turn(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "chat", "LlamaForCausalLM")
    found = await findings(load_model(f"hf:{folder}?dtype=float32"))
    assert {finding.status for finding in found.values()} == {"ok", "note"}, found
    # random weights say nothing of either
    assert {name for name, finding in found.items() if finding.status == "note"} <= {
        "template", "continuation", "stops",
    }  # fmt: skip
    assert "gets lost" not in found["continuation"].detail
    assert "512 tokens" in found["reachable"].detail


async def test_a_langchain_model_is_told_what_it_lacks() -> None:
    words = "one\ntwo\nthree\nfour\nfive\nsix"
    found = await findings(LangChainModel(FakeListChatModel(responses=[words])))
    lacks = {name for name, finding in found.items() if finding.status == "note"}
    assert lacks == {"continuation", "seeds", "samples", "logprobs", "token_ids", "usage", "min_p", "cache"}
    assert "problem" not in {finding.status for finding in found.values()}


async def scoring(score: Callable[[Trace], list[float]]) -> dict[str, Finding]:
    return {finding.name: finding async for finding in probe_scorer(ScriptedScorer(score))}


async def test_scores_that_follow_later_steps_are_noted() -> None:
    found = await scoring(
        lambda trace: [1 / (len(trace.steps) + i + len(trace.steps[0])) for i in range(len(trace.steps))]
    )
    assert (found["prefix"].status, found["newest"].status) == ("note", "ok")
    assert "not causal" in found["prefix"].detail


async def test_a_newest_score_that_differs_is_a_problem() -> None:
    def score(trace: Trace) -> list[float]:
        return [0.9] if trace.newest else [1 / (2 + i) for i, _ in enumerate(trace.steps)]

    assert (await scoring(score))["newest"].status == "problem"


async def test_scores_that_are_all_the_same_are_noted() -> None:
    found = await scoring(lambda trace: [0.5] * len(trace.steps))
    assert "leads no search" in found["scores"].detail


@pytest.mark.parametrize("score", [float("nan"), 1.5])
async def test_scores_that_are_none_are_a_problem(score: float) -> None:
    found = await scoring(lambda trace: [score] * len(trace.steps))
    assert list(found) == ["scores"]
    assert "not in [0, 1]" in found["scores"].detail


@pytest.mark.vllm
@pytest.mark.timeout(1200)
async def test_the_shipped_policy_on_a_real_server(vllm_policy: VLLMServer) -> None:
    url = f"base_url={vllm_policy.base_url}"

    async def probed(spec: str) -> dict[str, Finding]:
        async with aclosing(cast(OpenAIModel, load_model(spec))) as model:
            return await findings(model)

    found = await probed(f"openai:{vllm_policy.name}?{url}&completions=true")
    # the cache's hits are told with --enable-prompt-tokens-details only
    assert {name for name, finding in found.items() if finding.status != "ok"} == {"cache"}, found
    assert "256 tokens" in found["reachable"].detail
    [refused] = (await probed(f"openai:{vllm_policy.name}?{url}")).values()
    assert (refused.name, refused.status) == ("template", "problem")
    [unknown] = (await probed(f"openai:nunbers?{url}&completions=true")).values()
    assert "has no model 'nunbers', but numbers" in unknown.detail


@pytest.mark.vllm
@pytest.mark.timeout(1200)
async def test_a_template_that_strips_turns_is_found_on_a_real_server(serve: Serve, tmp_path: Path) -> None:
    turn = "{{ '<|' + message.role + '|>' + message.content | trim }}"
    template = tmp_path / "strips.jinja"
    template.write_text(f"{{% for message in messages %}}{turn}{{% endfor %}}")
    server = serve(BUILTIN / "policy", "--chat-template", str(template))
    async with aclosing(OpenAIModel(server.name, base_url=server.base_url)) as model:
        found = await findings(model)
    assert "line end of a turn gets lost" in found["continuation"].detail
    assert "problem" not in {finding.status for finding in found.values()}, found


@pytest.mark.vllm
@pytest.mark.timeout(1200)
async def test_the_shipped_scorer_on_a_real_server(vllm_scorer_url: str) -> None:
    spec = f"pooling:scorer?base_url={vllm_scorer_url}&tokenizer={BUILTIN / 'scorer'}"
    async with aclosing(cast(PoolingScorer, load_scorer(spec))) as scorer:
        found = [finding async for finding in probe_scorer(scorer)]
    assert [(finding.name, finding.status) for finding in found] == [
        SCORED[0],
        ("tokenizer", "ok"),
        *SCORED[1:],
    ]
