from __future__ import annotations

from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

from thoughtgraph.graph.errors import ToolError, UserError
from thoughtgraph.tools.base import Call, Tool
from thoughtgraph.tools.calling import call_tool, check_arguments
from thoughtgraph.tools.retrieval.retrievers import retriever_tool


async def ask(tool: Tool, query: str) -> str:
    check_arguments(tool, {"query": query})
    return (await call_tool(tool, Call({"query": query}))).text


def store(*documents: Document) -> InMemoryVectorStore:
    made = InMemoryVectorStore(DeterministicFakeEmbedding(size=32))
    made.add_documents(list(documents))
    return made


class Keywords(BaseRetriever):
    """A retriever without a coroutine of its own."""

    texts: list[str]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        if query == "fail":
            raise ConnectionError("the index is away")
        return [Document(text) for text in self.texts if query in text]


async def test_a_vector_store() -> None:
    owl = Document("owls hunt at night", metadata={"source": "birds.md", "page": 3, "secret": "x"})
    made = store(owl, Document("bread is baked", id="b"))
    tool = retriever_tool(made.as_retriever(search_kwargs={"k": 1}), name="birds", effect="pure")
    assert (tool.name, tool.effect, tool.trusted, tool.text_argument) == ("birds", "pure", False, "query")
    assert await ask(tool, "owls hunt at night") == "[1] birds.md, 3\nowls hunt at night"
    assert await ask(tool, "bread is baked") == "[1] b\nbread is baked"


async def test_a_retriever_without_coroutines() -> None:
    tool = retriever_tool(Keywords(texts=["a b", "b c", "b d"]), top=2)
    assert tool.effect == "idempotent"
    assert await ask(tool, "b") == "[1] \na b\n\n[2] \nb c"
    assert await ask(tool, "z") == "Nothing was found."
    with pytest.raises(ToolError, match="retrieve failed: ConnectionError: the index is away"):
        await ask(tool, "fail")
    with pytest.raises(ToolError, match="cannot take"):
        await ask(tool, "x" * 2000)


@pytest.mark.parametrize(
    ("retriever", "top", "message"), [(3, None, "is not a LangChain"), (None, 0, "top=1")]
)
def test_what_cannot_retrieve_is_refused(retriever: Any, top: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        retriever_tool(retriever or Keywords(texts=[]), top=top)
