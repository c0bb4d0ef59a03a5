"""The public API: solve a question, build the machine, read a result."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, cast

from .graph.errors import ThoughtGraphError, UnknownNameError, UserError
from .graph.records import Budget, Usage

if TYPE_CHECKING:
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from .agents.models.base import LanguageModel, ScoringModel
    from .agents.protocols import Critic, Evaluator, Generator, ToolUser, Verifier
    from .graph.ledger import ToolCall
    from .graph.machine import Machine
    from .graph.view import ReasoningGraph
    from .storage.store import SqlStore
    from .tasks.assembly import Replacements
    from .tasks.settings import CriticName, Settings, Stepping
    from .tools.base import Tool

T = TypeVar("T")

SolveStatus = Literal["solved", "unsolved", "answered", "no_answer", "failed", "interrupted"]
"""solved, unsolved: graded right, wrong. answered: not gradable without a reference. no_answer: none within the budget."""


class Options(TypedDict, total=False):
    """What `solve`, `asolve` and `build_machine` take, all optional."""

    task: str
    """Name of the task; default `numbers`."""
    split: str
    """Which problems of the task it is; only those on `train` serve as examples for others (the tool `similar_problems`)."""
    data: str
    """Where the task's own data are: a path, `hf:DATASET`, for text2sql also a database; default the usual places."""
    scheme: str
    """Name of the search scheme, or path of a YAML file that composes one; default `mcts`. `thoughtgraph schemes` lists the names."""
    params: Mapping[str, Any]
    """The scheme's own parameters."""
    model: str | LanguageModel
    """A spec such as `builtin:numbers`, `hf:PATH`, `openai:NAME`, or a model object."""
    base_url: str | Sequence[str]
    """Where an `openai:` model is served; several addresses are replicas of it."""
    scorer: str | ScoringModel
    """A step scorer: spec or object; default the shipped one for the shipped policy."""
    agents: Mapping[str, str]
    """Further models by role: `judge`, `discriminator`, or names of your own for schemes that choose among several."""
    critic: CriticName
    tools: bool
    """Whether agents check by the exact calculator, and by the tests that a question shows; default True."""
    toolbox: Sequence[str | Mapping[str, Any] | Tool | BaseTool | BaseRetriever | Callable[..., Any]]
    """What agents may call in their steps: a tool's name as on the command line (`sandbox`, `sql:URL`, a YAML file), an entry of such a file, a `Tool`,
    a LangChain tool or retriever, or a typed function. What functions and LangChain tools do counts as an effect that may not happen twice; wrap
    them by `function_tool` or `langchain_tool` with `effect="pure"` or `"idempotent"` to say otherwise."""
    temperature: float
    min_p: float
    """In [0, 1]: share of the likeliest token below which none is drawn; default what the shipped model recommends, else 0."""
    unique: bool
    """Whether a model in this process draws next steps without replacement; default what the shipped model recommends, else no."""
    stepping: Stepping
    """How a chat model comes to its next step: `ask` or `continue`; default continue where the model says that it can."""
    step_tokens: int
    """Upper bound on the tokens of one step; default what the shipped model recommends, else the task's own."""
    budget: Budget | Mapping[str, float]
    """Default 10,000 generated tokens."""
    mode: Literal["lockstep", "rolling"]
    wave: int
    """Requests in flight at once within one search; default 8."""
    seed: int
    db: str | os.PathLike[str]
    """Path or URL of the database; default `THOUGHTGRAPH_DB`, or a file in the user's data directory."""
    generator: Generator
    """An agent of your own in place of ours; likewise the following."""
    tool_users: tuple[ToolUser, ...]
    verifiers: tuple[Verifier, ...]
    critics: tuple[Critic, ...]
    others: Mapping[str, Generator]
    """Generators by name, for schemes that ask for further agents."""
    evaluators: Mapping[str, Evaluator]
    """Who answers a scheme's evaluation requests, by action (`value`, `vote`, `compare`, …), beside or in place of ours."""


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a question, with everything that led to it. Draws itself in a notebook."""

    run: str
    question: str
    status: SolveStatus
    answer: str | None
    score: float | None
    """In [0, 1], as the scheme's finalizer computed it."""
    stopped: str
    """Why the search stopped: `finished`, `budget:tokens`, …"""
    usage: Usage
    graph: ReasoningGraph = field(repr=False)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """All tool calls, in the order of the thoughts that they were made at."""
        calls = self.graph.tool_calls
        return tuple(call for thought in self.graph.thoughts for call in calls.get(thought, ()))

    @property
    def path(self) -> tuple[str, ...]:
        """The steps of the answer, in order."""
        return tuple(thought.text for thought in self.graph.path()[1:])

    @property
    def scores(self) -> tuple[float | None, ...]:
        """For each step of the answer, the last value a verifier or critic gave it, in [0, 1]."""
        last: list[float | None] = []
        for thought in self.graph.path()[1:]:
            values = [e.value for e in self.graph.evaluations.get(thought.id, ()) if e.value is not None]
            last.append(values[-1] if values else None)
        return tuple(last)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return self.graph._repr_mimebundle_()  # pyright: ignore[reportPrivateUsage] - the notebook protocol's name

    def __str__(self) -> str:
        return self.graph.to_text()


def solve(question: str, **options: Unpack[Options]) -> Result:
    """Search for an answer to a question, record every thought, and return what was found.

    Works inside a running event loop too (a notebook), where it blocks that loop's thread; `await asolve(…)` does not.

    Raises:
        UserError: on a question, name or setting that fits nothing.
        ModelUnavailableError: if the model cannot answer at all.
        StoreError: if the database cannot be used.
    """
    return _finish(asolve(question, **options))


async def asolve(question: str, **options: Unpack[Options]) -> Result:
    """Do what `solve` does, asynchronously."""
    from .tasks.base import Item
    from .tasks.registry import task_of
    from .tasks.runs import new_run_id, start

    if not isinstance(question, str):  # pyright: ignore[reportUnnecessaryIsInstance] - not every caller is typed
        raise UserError(f"the question {question!r} is not text; write it in quotes")
    settings, own = configure(options)
    problem = task_of(settings).problem(question)
    store = await asyncio.to_thread(open_store, options.get("db"))
    try:
        run = new_run_id()
        await start(store, settings, [Item(problem)], own=own, run=run, parallel=1)
        return await asyncio.to_thread(read_result, store, run, problem.id)
    finally:
        store.close()


def build_machine(
    checkpointer: BaseCheckpointSaver[Any] | Literal[False] | None = None,
    *,
    review: Literal["never", "answer"] = "never",
    **options: Unpack[Options],
) -> Machine:
    """Compile the LangGraph machine: `await machine.ainvoke({"question": "4 5 6 10"})`, or a node of a graph of your own.

    Args:
        checkpointer: as in `StateGraph.compile`; needed for `review`, and inherited where the machine is a subgraph.
        review: `answer` interrupts before an answer is final, for a person to decide.
        **options: as for `solve`.
    """
    from .graph.machine import build
    from .tasks.assembly import assemble

    settings, own = configure(options, review=review)
    machine, _ = build(assemble(settings, open_store(options.get("db")), own), checkpointer)
    return machine


def open_store(db: str | os.PathLike[str] | None) -> SqlStore:
    """Open the database, creating a new one at the current schema."""
    from .storage.store import SqlStore

    return SqlStore.open(db)


def read_result(store: SqlStore, run: str, problem: str) -> Result:
    """Read the result of a finished unit, by full ids."""
    from .storage.read import read_unit

    unit = read_unit(store.database, run, problem)
    graph = read_graph(store, run, problem)
    result = unit.result
    if result is None:
        return Result(run, unit.problem.question, "interrupted", None, None, "interrupted", Usage(), graph)
    if result.status == "failed":
        raise ThoughtGraphError(f"the search {result.stopped}; see: thoughtgraph show {run}")
    status: SolveStatus = result.status
    if result.answer is not None and unit.correct is not None:
        status = "solved" if unit.correct else "unsolved"
    return Result(
        run, unit.problem.question, status, result.answer, result.score, result.stopped, result.usage, graph
    )


def read_graph(store: SqlStore, run: str, problem: str) -> ReasoningGraph:
    """Read the reasoning graph of a unit, by full ids."""
    from .graph.view import ReasoningGraph
    from .storage.read import unit_graph

    unit = unit_graph(store.database, run, problem)
    result = unit.result
    return ReasoningGraph(
        problem=unit.problem,
        thoughts=unit.thoughts,
        evaluations=unit.evaluations,
        tool_calls={t: calls for t, calls in unit.tool_calls.items() if t in unit.thoughts},
        answer=result.answer if result else None,
        best=result.thought if result else None,
    )


def configure(
    options: Options, review: Literal["never", "answer"] = "never"
) -> tuple[Settings, Replacements]:
    """Sort options into settings, which are recorded, and objects of the user's own."""
    from .tasks.assembly import Replacements
    from .tasks.settings import Settings
    from .tasks.sources.public import given_data

    values: dict[str, Any] = dict(options)
    values.pop("db", None)
    own = {
        name: values.pop(name)
        for name in ("generator", "tool_users", "verifiers", "critics", "others", "evaluators")
        if name in values
    }
    for name in ("model", "scorer"):
        if name in values and hasattr(values[name], "name"):
            own[name] = values.pop(name)
            values[name] = own[name].name if name == "model" else "none"
    if "data" in values:
        values["data"] = given_data(values["data"])
    if "toolbox" in values:
        values["toolbox"], tools = _sorted_tools(values["toolbox"])
        own |= {"toolbox": tools} if tools else {}
    if isinstance(values.get("budget"), Mapping):
        values["budget"] = make_budget(values["budget"])
    if "base_url" in values:
        urls = values.pop("base_url")
        values["model_options"] = {"base_url": urls if isinstance(urls, str) else list(urls)}
    for name in values:
        if name not in Settings.__dataclass_fields__:
            raise UnknownNameError("option", name, Options.__annotations__)
    return Settings(**values, review=review), Replacements(**own)


def _sorted_tools(given: Any) -> tuple[tuple[Mapping[str, Any], ...], tuple[Tool, ...]]:
    """Return the tools that can be recorded by their options, and those that are objects of the user's own."""
    from .tools.adapters.functions import adapted
    from .tools.registry import read_toolbox

    if isinstance(given, str | Mapping):
        raise UserError("the toolbox is one tool; give a list of tools")
    named: list[str | Mapping[str, Any]] = []
    objects: list[Tool] = []
    for one in given:
        if isinstance(one, str | Mapping):
            named.append(cast("str | Mapping[str, Any]", one))
        else:
            objects.append(adapted(one))
    return read_toolbox(named), tuple(objects)


def make_budget(limits: Mapping[str, float]) -> Budget:
    """Return the budget of these limits by name; raises UserError on a name that is no limit."""
    from .graph.budget import check_limits

    check_limits(limits)
    for name in limits:
        if not isinstance(limits[name], int | float):  # pyright: ignore[reportUnnecessaryIsInstance] - as above
            raise UserError(f"the budget {name}={limits[name]!r} is not a number; write one, such as 4000")
    return Budget(**dict(limits))  # pyright: ignore[reportArgumentType] - counts may come as floats


async def make_graph() -> Machine:
    """Return the machine that the environment describes, for `langgraph dev`; see langgraph.json.

    THOUGHTGRAPH_TASK, _SCHEME, _MODEL, _BASE_URL (several with spaces between), _SCORER and _DB override the defaults. The server calls this for every
    run; all runs share one machine, and with it the database's connections and the model's batches. It is built in a thread: it reads files, which may
    not hold up the event loop.
    """
    names: dict[str, str] = {
        "task": "TASK",
        "scheme": "SCHEME",
        "model": "MODEL",
        "base_url": "BASE_URL",
        "scorer": "SCORER",
        "db": "DB",
    }
    found = {name: value for name, env in names.items() if (value := os.environ.get(f"THOUGHTGRAPH_{env}"))}
    return await asyncio.to_thread(_shared_machine, tuple(found.items()))


@cache
def _shared_machine(options: tuple[tuple[str, str], ...]) -> Machine:
    given: Any = dict(options)
    if " " in given.get("base_url", ""):
        given["base_url"] = given["base_url"].split()
    return build_machine(**given)


def _finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, in a thread of its own where a loop is already running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, work).result()
