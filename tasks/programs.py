"""HumanEval and MBPP: programs that are judged by tests which the search does not see.

* humaneval (Chen et al. 2021, arXiv 2107.03374): the question is the official prompt, a function without its body. An answer is the body, or the whole
  function; right is what passes the official `check`. Visible to the search are the examples of the docstring.
* mbpp (Austin et al. 2021, arXiv 2108.07732): the question is the official text with the first test, which says what the function is called, and what that test needs; the
  official prompt shows all tests, which would leave none hidden. Right is what passes all of `test_list`; `challenge_test_list` is not part of the published measure.
"""

from __future__ import annotations

import ast
import doctest
import json
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from ..graph.errors import UserError
from .base import Item, Verdict
from .families import CodeDomain
from .grading.programs import Judge, check_sandbox, sandboxed
from .public import PublicTask
from .sources.entries import Entry, id_of, text_of, texts_of
from .sources.public import Source
from .sources.rows import Row

HUMANEVAL = Source(
    task="humaneval",
    splits={
        "test": (
            "HumanEval.jsonl.gz",
            "HumanEval.jsonl",
            "human-eval-v2-*.jsonl",
            "openai_humaneval/test-*.parquet",
            "test-*.parquet",
        )
    },
    hub="hf:openai/openai_humaneval",
    hub_splits={},
    origin="https://github.com/openai/human-eval, folder data",
)

_MBPP_FILES = ("mbpp.jsonl", "sanitized-mbpp.json")
MBPP = Source(
    task="mbpp",
    splits={
        split: (*_MBPP_FILES, f"full/{split}-*.parquet", f"{split}-*.parquet")
        for split in ("train", "validation", "test", "prompt")
    },
    hub="hf:google-research-datasets/mbpp:full",
    hub_splits={},
    origin="https://github.com/google-research/google-research/tree/master/mbpp",
)
MBPP_IDS = {
    "prompt": range(1, 11),
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
}
"""Task ids of each split (Austin et al., §2.1), in the sanitized set too."""

_SHOWN = "Your code should pass this test:"


class HumanEvalDomain(CodeDomain):
    """Functions to be completed: the question is Python."""

    name = "humaneval"

    def program(self, question: str, answer: str) -> str:
        """Return the prompt with the answer behind it: the function's body, or the function once more, whose helpers the prompt may hold."""
        code = self.canonical(answer)
        return (
            f"{question}\n\n{code}\n" if _defines(code, _last_function(question)) else f"{question}\n{code}\n"
        )

    def visible_tests(self, question: str) -> tuple[str, ...]:
        """Return the examples of the docstring whose value is written as Python writes it, as assertions."""
        return tuple(_examples(question))


class MbppDomain(CodeDomain):
    """Tasks in words, with one test."""

    name = "mbpp"

    def visible_tests(self, question: str) -> tuple[str, ...]:
        """Return the test that the question shows."""
        _, _, test = question.rpartition(f"\n{_SHOWN}\n")
        return (test,) if test and test != question else ()


class ProgramTask(PublicTask):
    """Programs with hidden tests; implements `tasks.base.Task`.

    A reference is JSON, what the published row says of its tests.
    """

    def __init__(
        self, domain: CodeDomain, source: Source, data: str = "", judge: Judge | None = None
    ) -> None:
        super().__init__(domain, source, data)
        self._code = domain
        self._judge = judge or sandboxed

    def grade(self, question: str, answer: str | None, reference: str | None) -> Verdict | None:
        """Run the hidden tests; None without them.

        Raises:
            GradingError: if they could not be run.
            UserError: if there is no sandbox here.
        """
        if reference is None:
            return None
        if answer is None or not answer.strip():
            return Verdict(False, None, None, "no answer")
        tests, setup = self.hidden_tests(json.loads(reference))
        result = self._judge(self._code.program(question, answer), tests, setup)
        return Verdict(result.passed, answer, self._code.canonical(answer), result.reason)

    def load(self, split: str, limit: int | None = None) -> Iterator[Item]:
        """See `PublicTask.load`; raises UserError also where there is no sandbox to grade in."""
        self.source.check_split(split, self.data)
        if self._judge is sandboxed:
            check_sandbox()
        return super().load(split, limit)

    def hidden_tests(self, reference: Mapping[str, Any]) -> tuple[list[str], str]:
        """Return a reference's tests, statements that raise where a program fails, and what goes before the program."""
        return reference["tests"], reference["setup"]


class HumanEvalTask(ProgramTask):
    """HumanEval with its problems and its grader."""

    reference_column = "test"

    def __init__(self, data: str = "", judge: Judge | None = None) -> None:
        super().__init__(HumanEvalDomain(), HUMANEVAL, data, judge)

    def entry(self, fields: Mapping[str, Any]) -> Entry:
        """Return the prompt, and the official `check` as the reference if there is one."""
        prompt, reference = text_of(fields, "prompt", "question").strip(), None
        if _last_function(prompt) is None:
            raise UserError("`prompt` is no Python function without its body")
        if fields.get("test") is not None:
            reference = json.dumps({name: text_of(fields, name) for name in ("test", "entry_point")})
        return Entry(prompt, reference, id_of(fields, "task_id", "id"))

    def hidden_tests(self, reference: Mapping[str, Any]) -> tuple[list[str], str]:
        """Return the assertions of the official `check`, one by one where it is made of nothing else."""
        from ..tools.sandbox.forms import assertions

        return assertions(reference["test"], reference["entry_point"]), ""


class MbppTask(ProgramTask):
    """MBPP with its problems and its grader."""

    reference_column = "test_list"

    def __init__(self, data: str = "", judge: Judge | None = None) -> None:
        super().__init__(MbppDomain(), MBPP, data, judge)

    def rows(self, split: str) -> Iterator[Row]:
        """Yield the rows of a split, which are told by their ids where one file holds all; raises UserError."""
        ids = MBPP_IDS.get(split, range(0))
        for row in super().rows(split):
            number = row.fields.get("task_id")
            if row.fault is not None or type(number) is not int or number in ids:
                yield row

    def entry(self, fields: Mapping[str, Any]) -> Entry:
        """Return the text with its first test, and all tests as the reference."""
        text = text_of(fields, "text", "prompt", "question").strip()
        tests = texts_of(fields, "test_list")
        setup = [*texts_of(fields, "test_imports"), str(fields.get("test_setup_code") or "")]
        if not text or not tests:
            return Entry(text)
        before = "\n".join(line for line in setup if line.strip())
        reference = {"tests": tests, "setup": before}
        shown = "\n".join(line for line in (before, tests[0].strip()) if line)
        question = f"{text}\n{_SHOWN}\n{shown}"
        return Entry(question, json.dumps(reference), id_of(fields, "task_id", "id"))


def _parsed(code: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # such as an invalid escape in a model's string
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _last_function(prompt: str) -> str | None:
    """Return the name of the function that a prompt leaves open: the last one that it begins."""
    tree = _parsed(prompt) or _parsed(prompt + "\n    pass")
    names = [node.name for node in (tree.body if tree else ()) if isinstance(node, ast.FunctionDef)]
    return names[-1] if names else None


def _defines(code: str, name: str | None) -> bool:
    tree = _parsed(code)
    return tree is not None and any(isinstance(n, ast.FunctionDef) and n.name == name for n in tree.body)


def _examples(prompt: str) -> Iterator[str]:
    """Yield `assert (EXAMPLE) == (VALUE)` for the examples of a prompt's docstring whose value is a literal."""
    tree, name = _parsed(prompt), _last_function(prompt)
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == name:
            try:
                examples = doctest.DocTestParser().get_examples(ast.get_docstring(node) or "")
            except ValueError:  # a docstring that only looks like examples
                return
            for example in examples:
                if _has_value(example.source) and _is_literal(example.want):
                    yield f"assert ({example.source.strip()}) == ({example.want.strip()})"


def _has_value(source: str) -> bool:
    """Return whether a source is an expression that is shown for its value, not for what it prints."""
    tree = _parsed(source)
    if tree is None or len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return False
    return not source.lstrip().startswith("print(")


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return False
    return bool(text.strip())
