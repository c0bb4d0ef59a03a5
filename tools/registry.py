"""Tools by name: what an operator grants, as a word on the command line or an entry of a file, and what is made of it.

    calculator                  exact arithmetic
    python                      an embedded Python interpreter: no files, no network, nothing to install
    sandbox                     a real CPython process behind bubblewrap, with NumPy and SymPy where they are installed
    unit_tests                  runs the tests that the problem shows
    sql                         the database that the problem is about, or sql:URL, one of yours; read only
    documents:PATH              full-text search over a folder or file
    similar_problems            solved problems of past runs
    mcp:FILE                    the tools of the servers in an mcpServers file
    function:MODULE:NAME        a typed function, a LangChain tool or a retriever of yours, or function:FILE.py:NAME

Options may follow, as in `sandbox?seconds=5&agents=generator`, but for `sql:`, whose URL is taken whole. A YAML file has a list of entries:

    - tool: sql
      url: ${SALES_URL}          # from the environment, so that no password is recorded
      name: sales
      tables: [customer, sale]
    - tool: sandbox
      seconds: 5
      agents: [generator]        # who may use it; all may where it is left out

A tool is called by its name, which `name` changes: the kind's own for the first ones, `sql_query` and its like for a database (`sales_query` with the name
sales), the server's name before the tool's for MCP. `tables` narrows what is read of a database's own tables; PostgreSQL's catalogue, with the names of all
tables and roles, can be read by every role.

Every entry may set agents, seconds, usd, parallel, effect and max_reply. Nothing else grants a tool, and no text that a model or a stranger wrote is
read here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any, cast, get_args
from urllib.parse import parse_qsl

from ..graph.errors import UnknownNameError, UserError
from . import kinds
from .base import Effect, Tool

Entry = Mapping[str, Any]
"""A granted tool: its kind as `tool`, and options by name; JSON values."""

COMMON = ("agents", "seconds", "usd", "parallel", "effect", "max_reply")
"""Options that every tool has."""

_PASSWORD = re.compile(r"://[^/@\s]*:(?!\$\{)[^/@\s]+@")
"""Of a URL, one that is written out."""
_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of tools."""

    what: str
    """What it is, in a few words."""
    make: Callable[..., Tool | Sequence[Tool]]
    """Makes them from their options; what it needs of the search is a parameter `around`."""
    target: str | None = None
    """The option that stands behind the colon; None if none does."""
    needed: bool = False
    """Whether that option must be there."""
    file: bool = False
    """Whether it is the path of a file or folder."""


KINDS: Mapping[str, Kind] = {
    "calculator": Kind("exact arithmetic", kinds.calculator),
    "python": Kind("an embedded Python: no files, no network, no packages", kinds.embedded),
    "sandbox": Kind("a real CPython process behind bubblewrap", kinds.sandbox),
    "unit_tests": Kind("runs the tests that the problem shows", kinds.unit_tests),
    "sql": Kind(
        "reads your database, or the one that the problem is about: sql_tables, sql_describe, sql_sample, sql_query",
        kinds.sql,
        "url",
    ),
    "documents": Kind("full-text search in a folder or file", kinds.documents, "path", True, file=True),
    "similar_problems": Kind("solved problems of past runs", kinds.similar_problems),
    "mcp": Kind(
        "tools of the servers in an mcpServers file, each called SERVER_TOOL",
        kinds.mcp,
        "config",
        True,
        file=True,
    ),
    "function": Kind(
        "a typed function, a LangChain tool or a retriever: MODULE:NAME or FILE.py:NAME",
        kinds.function,
        "function",
        True,
    ),
}


_SHOWN = {"config": "FILE", "function": "MODULE:NAME"}
"""Targets that are not written as the option is called."""


def described() -> list[dict[str, Any]]:
    """Return what can be granted: `spec`, as it is written, `what` it is, and its `options`."""
    return [
        {
            "spec": name if kind.target is None else f"{name}:{_SHOWN.get(kind.target, kind.target.upper())}",
            "what": kind.what,
            "options": [o for o in signature(kind.make).parameters if o not in ("around", kind.target)],
        }
        for name, kind in KINDS.items()
    ]


def read_toolbox(specs: Iterable[str | Entry]) -> tuple[Entry, ...]:
    """Return the entries that words, YAML files and entries stand for; paths become absolute, so that a resume finds them from anywhere.

    Raises:
        UserError: on a kind or option that there is not, or a file that cannot be read.
    """
    entries: list[Entry] = []
    for spec in specs:
        if isinstance(spec, str) and spec.endswith((".yaml", ".yml")) and ":" not in spec:
            entries += [_checked(entry, f" in {spec}") for entry in _file(Path(spec))]
        else:
            entries.append(_checked(_word(spec) if isinstance(spec, str) else spec, ""))
    return tuple(entries)


def open_toolbox(entries: Iterable[Entry], around: kinds.Around) -> tuple[Tool, ...]:
    """Make the tools of entries that `read_toolbox` returned.

    Raises:
        UserError: on an option that does not fit, something that must be installed or started first, or two tools of one name.
    """
    tools: list[Tool] = []
    for entry in entries:
        tools += _made(entry, around)
    return distinct(tools)


def distinct(tools: Iterable[Tool]) -> tuple[Tool, ...]:
    """Return tools with a name, and a language if any, of their own each; raises UserError if two have the same one."""
    named: dict[str, Tool] = {}
    speaking: dict[str, Tool] = {}
    for tool in tools:
        if tool.name in named:
            raise UserError(
                f"two tools are called {tool.name!r}; grant one of them, or give one another name where it has that option"
            )
        other = speaking.setdefault(tool.language, tool) if tool.language else tool
        if other is not tool:
            raise UserError(
                f"a fenced block of {tool.language} could mean {other.name} or {tool.name}; grant one of them, or give one another name"
            )
        named[tool.name] = tool
    return tuple(named.values())


def _word(spec: str) -> Entry:
    kind, colon, target = spec.partition(":")
    kind, mark, query = (kind, "", "") if colon else kind.partition("?")
    if colon and kind != "sql":
        target, mark, query = target.partition("?")
    entry: dict[str, Any] = {"tool": kind}
    known = _kind(kind)
    if colon:
        if known.target is None:
            raise UserError(
                f"the tool {kind!r} takes nothing behind a colon; write {kind} alone in place of {spec!r}"
            )
        entry[known.target] = target
    for name, text in parse_qsl(query, keep_blank_values=True) if mark else ():
        entry[name] = _value(name, text)
    return entry


def _value(name: str, text: str) -> Any:
    import yaml

    try:
        value: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    return text.split(",") if name in ("agents", "tables") and isinstance(value, str) else value


def _file(path: Path) -> list[Entry]:
    import yaml

    try:
        found: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"cannot read the tools in {str(path)!r} ({error.strerror}); give a YAML file"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    entries = cast("list[Any]", found)
    if not isinstance(found, list) or not all(
        isinstance(entry, dict) and "tool" in entry for entry in entries
    ):
        raise UserError(f"{str(path)!r} is not a list of tools; write an entry such as `- tool: sandbox`")
    return [cast("Entry", entry) for entry in entries]


def _checked(entry: Entry, where: str) -> Entry:
    """Return an entry that names a kind and options of it; raises UserError on another."""
    name = str(entry.get("tool", ""))
    kind = _kind(name)
    allowed = {*signature(kind.make).parameters, *COMMON} - {"around"}
    for option in entry:
        if option != "tool" and option not in allowed:
            raise UnknownNameError(f"option of the tool {name!r}{where}", option, sorted(allowed))
    if kind.needed and not entry.get(kind.target or ""):
        raise UserError(
            f"the tool {name!r} needs its {kind.target}; write {name}:{(kind.target or '').upper()}"
        )
    target = entry.get(kind.target or "")
    if not isinstance(target, str):
        return dict(entry)
    if _PASSWORD.search(target):
        raise UserError(
            f"the {kind.target} of the tool {name!r} holds a password, which would be recorded with the run; put it into an environment variable "
            f"and write {name}:${{NAME}}"
        )
    path, colon, member = target.rpartition(":") if not kind.file else (target, "", "")
    if kind.file or path.endswith(".py"):
        target = f"{os.path.abspath(os.path.expanduser(path))}{colon}{member}"
    return {**entry, str(kind.target): target}


def _kind(name: str) -> Kind:
    if name not in KINDS:
        if name.endswith((".db", ".sqlite", ".sqlite3")):
            raise UserError(f"{name!r} is no tool; for the database of this name write sql:{name}")
        raise UnknownNameError("tool", name, KINDS)
    return KINDS[name]


def _made(entry: Entry, around: kinds.Around) -> list[Tool]:
    kind = _kind(entry["tool"])
    own = signature(kind.make).parameters
    options = {name: _expanded(value) for name, value in entry.items() if name in own}
    for name, value in options.items():
        if own[name].annotation in _NUMBERS:
            _check_number(entry["tool"], name, value, whole=own[name].annotation == "int")
    if "around" in own:
        options["around"] = around
    terms = _terms({name: value for name, value in entry.items() if name == "tool" or name not in own})
    made = kind.make(**options)
    return [replace(tool, **terms) for tool in ([made] if isinstance(made, Tool) else made)]


def _terms(entry: Entry) -> dict[str, Any]:
    """Return the fields of a tool that an entry sets, but for options that its kind takes by the same name."""
    terms: dict[str, Any] = {name: entry[name] for name in COMMON if name in entry}
    who = entry["tool"]
    if "agents" in terms:
        agents = terms["agents"]
        if not isinstance(agents, list) or not all(
            isinstance(a, str) and a for a in cast("list[Any]", agents)
        ):
            raise UserError(
                f"the agents of the tool {who!r} are {agents!r}; write a list of names, such as [generator]"
            )
        terms["agents"] = frozenset(cast("list[str]", agents))
    for name in ("seconds", "usd", "parallel", "max_reply"):
        _check_number(who, name, terms.get(name, 1), whole=name in ("parallel", "max_reply"))
    if terms.get("effect", "once") not in get_args(Effect):
        raise UserError(
            f"the effect of the tool {who!r} is {terms['effect']!r}; choose one of: {', '.join(get_args(Effect))}"
        )
    return terms


_NUMBERS = ("int", "float")
"""Annotations of options that are numbers."""


def _check_number(tool: str, name: str, value: Any, *, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        raise UserError(f"{name} of the tool {tool!r} is {value!r}; give a {'whole ' if whole else ''}number")


def _expanded(value: Any) -> Any:
    """Return an option with what the environment says in place of `${NAME}`."""
    if not isinstance(value, str):
        return value

    def of(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise UserError(f"the environment variable {found[1]} is not set; a tool's option asks for it")
        return os.environ[found[1]]

    return _VARIABLE.sub(of, value)
