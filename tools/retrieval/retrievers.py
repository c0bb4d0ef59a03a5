"""Any LangChain retriever: vector stores, search services, whatever has `ainvoke(query) -> documents`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from ...graph.errors import UserError
from ..adapters.common import Overrides
from ..base import Call, Effect, Tool, ToolReply
from .bm25 import Passage
from .documents import query_schema, shown

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever

_PLACE = ("source", "title", "url", "page")
"""Metadata that says where a document is from, and so is shown."""


def retriever_tool(
    retriever: BaseRetriever,
    *,
    name: str = "retrieve",
    description: str = "Finds passages of text about what is asked.",
    top: int | None = None,
    effect: Effect = "idempotent",
    **overrides: Unpack[Overrides],
) -> Tool:
    """Return a LangChain retriever as a tool of one argument, `query`.

    Of a document's metadata only `source`, `title`, `url` and `page` are shown. Callbacks and tracers around the search do not hear of the calls.

    Args:
        retriever: the retriever.
        name: what a model calls it by.
        description: what a model is told.
        top: documents of a reply at most (≥ 1); None is as many as the retriever gives.
        effect: `pure` if what it searches does not change during a run.
        overrides: further fields of `Tool`.

    Raises:
        UserError: if it is not a retriever, or `top` is below 1.
    """
    from langchain_core.retrievers import BaseRetriever

    if not isinstance(retriever, BaseRetriever):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise UserError(f"{retriever!r} is not a LangChain retriever; give one, such as store.as_retriever()")
    if top is not None and top < 1:
        raise UserError(f"a reply of {top} documents says nothing; give top=1 or more")

    async def run(call: Call) -> ToolReply:
        from langsmith.run_helpers import tracing_context  # pyright: ignore[reportUnknownVariableType]

        with tracing_context(enabled=False):
            found = await retriever.ainvoke(call.arguments["query"], {"callbacks": []})
        return ToolReply(shown([_passage(one) for one in found[:top]]) or "Nothing was found.")

    return Tool(
        name=name,
        description=description,
        parameters=query_schema("what to look for"),
        run=run,
        effect=effect,
        **overrides,
    )


def _passage(document: Document) -> Passage:
    metadata = document.metadata
    place = ", ".join(str(metadata[key]) for key in _PLACE if metadata.get(key) is not None)
    return Passage(document.page_content, place or str(document.id or ""))
