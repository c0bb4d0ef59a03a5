"""Options that several commands share, each with its environment variable, and how their values are read."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from ..graph.errors import UserError
from ..tasks.settings import CriticName, Settings, Stepping

if TYPE_CHECKING:
    from ..api import Options

DEFAULTS = Settings()


def option(flag: str, *short: str, help: str, **more: Any) -> Any:
    """Return a typer option whose environment variable is THOUGHTGRAPH_FLAG."""
    name = flag.split("/")[0].removeprefix("--").upper().replace("-", "_")
    return typer.Option(flag, *short, envvar=f"THOUGHTGRAPH_{name}", help=help, **more)


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number.")
    return value


def _heat(value: float | None) -> float | None:
    # a check of the range alone does not say what is wrong with nan
    if value is not None and not (math.isfinite(value) and value >= 0.0):
        raise typer.BadParameter(f"{value} is no temperature; give a number of 0 or more.")
    return value


TaskName = Annotated[str, option("--task", "-t", help="Whose questions they are.")]
Db = Annotated[
    str | None,
    option(
        "--db",
        help="Database: a path, sqlite:///PATH or postgresql://…",
        show_default="in the user's data directory",
    ),
]
AsJson = Annotated[bool, option("--json", help="Print one JSON record on stdout and nothing else.")]
Quiet = Annotated[bool, option("--quiet", "-q", help="Show no progress.")]
Parallel = Annotated[int, option("--parallel", "-j", help="Problems searched at once.", min=1)]
Workers = Annotated[
    int,
    option(
        "--workers",
        help="Processes that share the run and --parallel, for a server too quick for one; not with models in this process.",
        min=1,
    ),
]


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What `solve` and `run` have in common. The fields are the options."""

    scheme: Annotated[
        str,
        option(
            "--scheme",
            "-s",
            help="Search scheme, or a YAML file that composes one; `thoughtgraph schemes` lists the names.",
        ),
    ] = DEFAULTS.scheme
    param: Annotated[
        list[str] | None,
        option("--param", "-p", metavar="NAME=VALUE", help="A parameter of the scheme; repeatable."),
    ] = None
    model: Annotated[
        str,
        option(
            "--model",
            "-m",
            help="builtin:numbers, hf:PATH, vllm:PATH, openai:NAME, langchain:PROVIDER:NAME, scripted:FILE or replay:RUN; "
            "options may follow, as in openai:NAME?price=3,15&timeout=60.",
        ),
    ] = DEFAULTS.model
    base_url: Annotated[
        list[str] | None,
        option(
            "--base-url",
            help="Where an openai: model is served; repeatable, for replicas. In the environment, spaces between.",
        ),
    ] = None
    scorer: Annotated[
        str,
        option(
            "--scorer",
            help="Who scores steps. hf:PATH, pooling:NAME?base_url=…&tokenizer=… or builtin:numbers: a model made for it; "
            "judge, judge:votes or judge:logprob: a chat model that is asked; auto: the shipped one for the shipped model; none.",
        ),
    ] = DEFAULTS.scorer
    agent: Annotated[
        list[str] | None,
        option(
            "--agent",
            metavar="ROLE=MODEL",
            help="A further model: judge, discriminator, or an arm of ab_mcts; repeatable.",
        ),
    ] = None
    critic: Annotated[
        CriticName,
        option("--critic", help="value: the scorer judges states; prompted: the model criticises."),
    ] = DEFAULTS.critic
    tools: Annotated[
        bool,
        option(
            "--tools/--no-tools",
            help="Have steps checked by the exact calculator, and programs by the tests shown.",
        ),
    ] = DEFAULTS.tools
    tool: Annotated[
        list[str] | None,
        option(
            "--tool",
            metavar="TOOL",
            help="A tool that agents may call: python, sandbox, sql:URL, documents:PATH, mcp:FILE, function:MODULE:NAME, … "
            "or a YAML file of them; repeatable. `thoughtgraph tools` lists them.",
        ),
    ] = None
    temperature: Annotated[
        float | None,
        option(
            "--temperature",
            help="Sampling temperature, 0 or more.",
            callback=_heat,
            show_default="the agent's own",
        ),
    ] = None
    min_p: Annotated[
        float | None,
        option(
            "--min-p",
            help="Draw no token less likely than this share of the likeliest.",
            min=0.0,
            max=1.0,
            callback=_finite,
            show_default="the model's own",
        ),
    ] = None
    stepping: Annotated[
        Stepping | None,
        option(
            "--stepping",
            help="How a chat model comes to its next step: ask in a turn of its own, or continue its answer.",
            show_default="continue where the model can",
        ),
    ] = None
    budget: Annotated[
        list[str] | None,
        option(
            "--budget",
            "-b",
            metavar="LIMIT=NUMBER,…",
            help="A problem's limits: tokens, model_calls, verifier_calls, tool_calls, seconds, usd. 4k is 4000.",
            show_default=f"tokens={DEFAULTS.budget.tokens}",
        ),
    ] = None
    mode: Annotated[
        Literal["lockstep", "rolling"],
        option("--mode", help="lockstep repeats bit by bit; rolling keeps the model busier."),
    ] = DEFAULTS.mode
    wave: Annotated[int, option("--wave", help="Requests in flight at once within one search.", min=1)] = (
        DEFAULTS.wave
    )
    seed: Annotated[int, option("--seed", help="Seed of all randomness.")] = DEFAULTS.seed
    data: Annotated[
        str | None,
        option(
            "--data",
            help="Where the task's own data are: a file, a folder, hf:DATASET; for text2sql a folder in Spider's or BIRD's layout, or a database.",
        ),
    ] = None
    db: Db = None
    as_json: AsJson = False
    quiet: Quiet = False

    def chosen(self, task: str) -> Options:
        """Return the options as `thoughtgraph.solve` takes them.

        Raises:
            UserError: on a parameter or budget that cannot be read.
        """
        options: Options = {
            "task": task,
            "scheme": self.scheme,
            "params": read_params(self.param or ()),
            "model": self.model,
            "scorer": self.scorer,
            "critic": self.critic,
            "tools": self.tools,
            "mode": self.mode,
            "wave": self.wave,
            "seed": self.seed,
        }
        if self.agent:
            options["agents"] = read_params(self.agent, "--agent judge=openai:NAME")
        if self.base_url:
            options["base_url"] = self.base_url[0] if len(self.base_url) == 1 else self.base_url
        if self.data:
            options["data"] = self.data
        if self.tool:
            options["toolbox"] = self.tool
        if self.temperature is not None:
            options["temperature"] = self.temperature
        if self.min_p is not None:
            options["min_p"] = self.min_p
        if self.stepping is not None:
            options["stepping"] = self.stepping
        if self.budget:
            options["budget"] = read_budget(self.budget)
        return options


def with_search_options(command: Callable[..., int], without: Container[str] = ()) -> Callable[..., int]:
    """Give a command, whose first parameter is `SearchOptions`, their fields as options of its own, `without` some."""
    hints = get_type_hints(SearchOptions, include_extras=True)
    fields = [field for field in dataclasses.fields(SearchOptions) if field.name not in without]
    names = [field.name for field in fields]
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    shared = [
        inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
        for f in fields
    ]

    def wrapped(**given: Any) -> int:
        search = SearchOptions(**{name: given.pop(name) for name in names})
        return command(search, **given)

    parameters = [*own, *shared]
    wrapped.__doc__, wrapped.__name__ = command.__doc__, command.__name__
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    vars(wrapped)["__signature__"] = inspect.Signature(parameters)
    return wrapped


def read_params(pairs: Iterable[str], example: str = "--param width=5") -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping; who uses the values reads them.

    Raises:
        UserError: on a pair without a name, an equals sign or a value, or a name given twice.
    """
    values: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not (name and equals):
            raise UserError(f"cannot read the parameter {pair!r}; write NAME=VALUE, such as {example}")
        if name in values:
            raise UserError(f"the parameter {name!r} is given twice; give it once")
        if not text.strip():
            raise UserError(
                f"{name!r} is given no value; write NAME=VALUE, such as {example}, or leave it out"
            )
        values[name] = text.strip()
    return values


def read_budget(parts: Iterable[str]) -> dict[str, float]:
    """Return `tokens=4000,seconds=60` as a mapping; numbers may end in k or M.

    Raises:
        UserError: on a limit without a name or a number, or a name given twice.
    """
    limits: dict[str, float] = {}
    for part in (part.strip() for text in parts for part in text.split(",")):
        name, equals, text = (piece.strip() for piece in part.partition("="))
        if not (name and equals):
            raise UserError(
                f"cannot read the budget {part!r}; write LIMIT=NUMBER, such as --budget tokens=4000"
            )
        if name in limits:
            raise UserError(f"the budget of {name} is given twice; give it once")
        limits[name] = _amount(name, text)
    return limits


def _amount(name: str, text: str) -> float:
    digits, factor = text, 1
    if text[-1:] in ("k", "M"):
        digits, factor = text[:-1], 1000 if text[-1] == "k" else 1_000_000
    try:
        amount = float(digits) * factor
    except ValueError:
        raise UserError(f"the budget {name}={text} is not a number; write one, such as {name}=4000") from None
    if name in ("seconds", "usd") or not math.isfinite(amount):
        return amount
    if not amount.is_integer():
        raise UserError(f"the budget {name}={text} is not a whole number; write one, such as {name}=4000")
    return int(amount)
