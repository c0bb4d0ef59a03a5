"""Mathematical answers: vote keys, equivalence in processes that are killed, and what happens when they are."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thoughtgraph.tasks.base import GradingError
from thoughtgraph.tasks.grading import math_pool as module
from thoughtgraph.tasks.grading.math_keys import math_key
from thoughtgraph.tasks.grading.math_pool import MathPool, math_pool
from thoughtgraph.tasks.mathematics import MathTask

BURNS = "9^{9^{9^9}}"
"""Takes math-verify longer than anybody waits."""


@pytest.mark.parametrize(
    "same",
    [
        [r"\frac12", "0.5", "1/2", ".5", r"\dfrac{1}{2}", r"\boxed{\tfrac12}", "$0.50$", r"x = \frac{1}{2}"],
        [r"50\%", "50%", "50", "50.0", r"50\text{ percent}"],
        [r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac\pi2)", r"\boxed{(3, \dfrac{\pi}{2})}"],
        [r"(-\infty, 0.5]", r"\left(-\infty,\frac12\right]", r"x \in (-\infty, \frac{1}{2}]"],
        ["1, -2", "-2,1", "-2, 1"],
        [r"\{1, 2\}", r"\{2,1\}", r"\left\{ 2, 1 \right\}"],
        [r"90^\circ", "90", "90^{\\circ}", "90°"],
        [r"\text{Evelyn}", "Evelyn", " evelyn."],
        [r"6\sqrt3", r"6 \sqrt{3}", r"$6\,\sqrt3$"],
        ["y = 2x + 3", "2x+3"],
        [r"\$32,\!348", "32348", "$32,348"],
        [r"5 \text{ cm}^2", "5", "5 cm"],
        [r"\sin x", r"\sin  x"],
    ],
)
def test_one_answer_has_one_key(same: list[str]) -> None:
    assert {math_key(answer) for answer in same} == {math_key(same[0])}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("(1, 2)", "(2, 1)"),
        ("(1, 2)", "[1, 2]"),
        ("52_8", "528"),
        ("1, 234", "1234"),
        ("x", "X"),
        (r"\sin x", r"\sinx"),
        ("x+1", "x-1"),
        ("-5", "5"),
        ("f(x)=3 or 4", "4"),
        ("x<3", "3"),
        ("10^2", "102"),
        ("", "0"),
    ],
)
def test_other_answers_have_other_keys(first: str, second: str) -> None:
    assert math_key(first) != math_key(second)


@given(st.text(max_size=30) | st.text("0123456789.,/()[]{}\\$%=x ^_frac", max_size=20))
@example("1, 234")
@example(r"\frac\frac12")
def test_a_key_is_its_own_key(answer: str) -> None:
    key = math_key(answer)
    assert math_key(key) == key


@given(st.fractions(max_denominator=500))
def test_numbers_have_the_key_of_their_value(value: object) -> None:
    above, _, below = str(value).partition("/")
    sign, digits = ("-", above[1:]) if above.startswith("-") else ("", above)
    for form in (
        str(value),
        f"{sign}\\frac{{{digits}}}{{{below or 1}}}",
        f"${value}$",
        f"\\boxed{{{value}}}",
    ):
        assert math_key(form) == str(value)


def test_values_are_compared_beyond_their_form() -> None:
    pool = math_pool()
    assert pool.equal("x+1", "1+x")
    assert pool.equal(r"\frac{1}{2}", "0.5")
    assert pool.equal("(x-1)(x+1)", "x^2-1")
    assert not pool.equal("x+1", "x+2")
    assert not pool.equal("(1,2)", "(2,1)")


@pytest.mark.parametrize(("first", "second"), [("1<x<2", "(1,2)"), ("x=5", "5"), (r"50\%", "0.5")])
def test_either_may_be_the_reference(first: str, second: str) -> None:
    assert math_pool().equal(first, second)
    assert math_pool().equal(second, first)


def test_a_comparison_that_takes_too_long_is_stopped_and_the_next_one_works() -> None:
    pool = MathPool(size=1)
    try:
        assert pool.equal("2+x", "x+2")
        started = time.monotonic()
        with pytest.raises(GradingError, match="did not compare the answer within 2 s"):
            pool.equal("5", BURNS)
        assert time.monotonic() - started < 30  # it would go on for hours
        assert pool.equal("3+x", "x+3")
    finally:
        pool.close()


def test_answers_that_fill_the_memory_are_stopped() -> None:
    pool = MathPool(size=1)
    try:
        with pytest.raises(GradingError):
            pool.equal("5", r"10^{10^{9}}+1")
        assert pool.equal("3+x", "x+3")
    finally:
        pool.close()


def test_threads_share_the_processes() -> None:
    pool = MathPool(size=2)
    answers = [(f"{n}+x", f"x+{n + n % 2}") for n in range(40)]
    try:
        with ThreadPoolExecutor(16) as threads:
            found = list(threads.map(pool.equal, *zip(*answers, strict=True)))
    finally:
        pool.close()
    assert found == [n % 2 == 0 for n in range(40)]


def test_a_process_that_died_is_replaced() -> None:
    pool = MathPool(size=1)
    try:
        assert pool.equal("1+x", "x+1")
        [worker] = pool._idle  # pyright: ignore[reportPrivateUsage]
        os.kill(worker._process.pid, signal.SIGKILL)  # pyright: ignore[reportPrivateUsage]
        worker._process.wait()  # pyright: ignore[reportPrivateUsage]
        assert pool.equal("4+x", "x+4")
    finally:
        pool.close()


def test_what_was_compared_is_remembered() -> None:
    pool = MathPool(size=1)
    assert pool.equal("1+x", "x+1")
    pool.close()
    assert pool.equal("1+x", "x+1")
    assert pool._idle == []  # pyright: ignore[reportPrivateUsage]


def test_a_long_answer_is_an_error_and_starts_nothing() -> None:
    pool = MathPool(size=1)
    with pytest.raises(GradingError, match="2001 characters is too long"):
        pool.equal("5", "x" * 2001)
    assert pool._idle == []  # pyright: ignore[reportPrivateUsage]


def test_a_process_that_does_not_start_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "executable", "/bin/false")
    with pytest.raises(GradingError, match="math-verify did not start"):
        MathPool(size=1).equal("1+x", "x+1")


@pytest.mark.slow
def test_a_burning_process_ends_when_nobody_is_left_to_end_it() -> None:
    code = f"""
import threading
from thoughtgraph.tasks.grading.math_pool import MathPool
pool = MathPool(size=1)
pool.equal("1+x", "x+1")
print(pool._idle[0]._process.pid, flush=True)
pool.equal("5", "{BURNS}")
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.communicate()
    for _ in range(600):
        try:
            os.kill(worker, 0)
            with open(f"/proc/{worker}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "Z":  # dead, and nobody collects it
                    return
        except (ProcessLookupError, FileNotFoundError):
            return
        time.sleep(0.1)
    pytest.fail("it still computes")


def test_no_secret_reaches_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary")
    pool = MathPool(size=1)
    try:
        assert pool.equal("7+x", "x+7")
        [worker] = pool._idle  # pyright: ignore[reportPrivateUsage]
        with open(f"/proc/{worker._process.pid}/environ", "rb") as environ:  # pyright: ignore[reportPrivateUsage]
            assert b"canary" not in environ.read()
    except FileNotFoundError:
        pytest.skip("no /proc here")
    finally:
        pool.close()


async def test_an_event_loop_goes_on_while_answers_are_compared() -> None:
    task, ticks = MathTask(), 0
    grading = asyncio.ensure_future(asyncio.to_thread(task.grade, "q", "x+1", "1+x"))
    while not grading.done():
        ticks += 1
        await asyncio.sleep(0.001)
    verdict = await grading
    assert verdict is not None
    assert verdict.correct
    assert ticks >= 1
    assert threading.current_thread() is threading.main_thread()


def test_a_task_tells_right_wrong_and_ungraded_apart() -> None:
    task = MathTask()
    assert task.grade("q", "5", None) is None
    for answer, right in (("5.0", True), (r"so \boxed{5}", True), ("x=5", True), ("6", False), ("", False), (None, False)):  # fmt: skip
        verdict = task.grade("q", answer, "5")
        assert verdict is not None
        assert verdict.correct is right, answer
    with pytest.raises(GradingError):
        task.grade("q", BURNS, "5")
    verdict = task.grade("q", r"The answer is \boxed{1+x}.", r"\boxed{x + 1}")
    assert verdict is not None
    assert (verdict.correct, verdict.extracted, verdict.canonical) == (True, "1+x", "1+x")
