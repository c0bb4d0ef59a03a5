import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import Field

from thoughtgraph.agents.models.base import Generation, GenerationCall, Message, Sampling
from thoughtgraph.agents.models.langchain import LangChainModel, load_langchain
from thoughtgraph.agents.models.registry import load_model
from thoughtgraph.graph.errors import ModelError, ModelUnavailableError, UserError

ASK = (Message("system", "be brief"), Message("user", "hello"))


def call(n: int = 1, prompt: Any = ASK, **sampling: Any) -> GenerationCall:
    parameters: dict[str, Any] = {"max_tokens": 9}
    return GenerationCall(prompt, Sampling(**parameters | sampling), n=n)


async def answer(model: LangChainModel, asked: GenerationCall) -> Generation:
    [result] = await model.generate([asked])
    assert isinstance(result, Generation)
    return result


async def test_each_sample_is_a_request_of_its_own() -> None:
    model = LangChainModel(FakeListChatModel(responses=["a", "b", "c"]))
    assert model.chat
    assert model.name == "langchain:FakeListChatModel"
    result = await answer(model, call(n=3))
    assert sorted(sample.text for sample in result.samples) == ["a", "b", "c"]


async def test_usage_and_finish_are_the_providers() -> None:
    usage: Any = {"input_tokens": 11, "output_tokens": 9, "total_tokens": 20}
    messages = [
        AIMessage("one", usage_metadata=usage, response_metadata={"finish_reason": "stop"}),
        AIMessage("two", usage_metadata=usage, response_metadata={"stop_reason": "max_tokens"}),
        AIMessage("three", usage_metadata=usage),
        AIMessage("", usage_metadata=usage, response_metadata={"finish_reason": "content_filter"}),
        AIMessage([{"type": "text", "text": "fo\x00ur\nmore"}], usage_metadata=usage),
    ]
    model = LangChainModel(GenericFakeChatModel(messages=iter(messages)))
    results = [await answer(model, call(stop=("\n",))) for _ in messages]
    assert [(r.samples[0].text, r.samples[0].finish) for r in results] == [
        ("one", "stop"),
        ("two", "length"),
        ("three", "length"),
        ("", "filter"),
        ("fo\N{REPLACEMENT CHARACTER}ur", "stop"),
    ]
    assert {(r.prompt_tokens, r.completion_tokens) for r in results} == {(11, 9)}


async def test_without_usage_bytes_bound_the_tokens() -> None:
    result = await answer(LangChainModel(FakeListChatModel(responses=["héllo"])), call())
    assert result.completion_tokens == 7  # six bytes and the end
    assert result.prompt_tokens >= len("be briefhello")


class Recording(FakeListChatModel):
    """Keeps what it is asked, and fails with `error` if there is one."""

    responses: list[str] = Field(default=["x"])
    asked: list[dict[str, Any]] = Field(default=[])
    error: Any = None

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.error is not None:
            raise self.error
        self.asked.append({"messages": [(m.type, m.text) for m in messages], "stop": stop, **kwargs})
        return self._generate(messages, stop)


async def test_sampling_parameters_and_turns_reach_the_provider() -> None:
    chat = Recording(asked=[])
    await answer(LangChainModel(chat, limit_key="limit"), call(temperature=0.3, top_p=0.8, stop=("\n",)))
    assert chat.asked == [
        {
            "messages": [("system", "be brief"), ("human", "hello")],
            "stop": ["\n"],
            "temperature": 0.3,
            "top_p": 0.8,
            "limit": 9,
        }
    ]


class ProviderError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}\nand a long story")
        self.status_code = status


async def test_errors_are_classified_by_status() -> None:
    with pytest.raises(ModelUnavailableError, match="401"):
        await LangChainModel(Recording(error=ProviderError(401))).generate([call()])
    for error in (ProviderError(500), ProviderError(400), TimeoutError("slow")):
        [result] = await LangChainModel(Recording(error=error)).generate([call(n=2)])
        assert type(result) is ModelError
        assert "\n" not in str(result)


async def test_raw_text_and_continued_turns_are_refused_unless_the_provider_can() -> None:
    chat = Recording(asked=[])
    started = (*ASK, Message("assistant", "Well,"))
    refused = await LangChainModel(chat).generate([call(prompt="raw"), call(prompt=started)])
    assert [type(r) for r in refused] == [ModelError, ModelError]
    assert chat.asked == []
    await answer(LangChainModel(chat, continue_final=True), call(prompt=started))
    assert chat.asked[0]["messages"][-1] == ("ai", "Well,")


def test_a_spec_is_built_through_the_providers_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    model = load_model("langchain:openai:gpt-5-mini", base_url="http://127.0.0.1:9/v1")
    assert model.name == "langchain:openai:gpt-5-mini"
    with pytest.raises(UserError, match="langchain:PROVIDER:NAME"):
        load_langchain("gpt-5")
    with pytest.raises(UserError, match="pip install langchain"):
        load_langchain("nobody:gpt-5")
    with pytest.raises(UserError, match="pip install langchain-groq"):
        load_langchain("groq:llama")


async def test_samples_run_at_the_same_time() -> None:
    class Slow(FakeListChatModel):
        responses: list[str] = Field(default=["x"])

        async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            await asyncio.sleep(0.1)
            return self._generate(messages)

    start = asyncio.get_running_loop().time()
    await answer(LangChainModel(Slow()), call(n=8))
    assert asyncio.get_running_loop().time() - start < 0.5
