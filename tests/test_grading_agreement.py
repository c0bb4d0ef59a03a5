"""Agreement with the official graders on the shared samples: reference solutions are right, corrupted ones are wrong, and who judged them officially says the same."""

from __future__ import annotations

import json
import math
import random
import re
import string
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from thoughtgraph.tasks.grading.math_keys import math_key
from thoughtgraph.tasks.grading.math_pool import math_pool
from thoughtgraph.tasks.grading.short_answers import exact_match, f1_score
from thoughtgraph.tasks.gsm8k import Gsm8kTask
from thoughtgraph.tasks.hotpotqa import HotpotTask
from thoughtgraph.tasks.mathematics import MathTask

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
GSM8K, MATH, HOTPOT = (
    DATA / name for name in ("gsm8k_train_1000.jsonl", "math500.jsonl", "hotpotqa_dev_300.json")
)


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        pytest.skip("the public data is not on this machine")
    text = path.read_text(encoding="utf-8")
    return json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]


# GSM8K: the published rule, `#### (\-?[0-9\.\,]+)`, commas dropped, texts compared


def official_gsm8k(completion: str) -> str:
    found = re.search(r"#### (\-?[0-9\.\,]+)", completion)
    return found[1].strip().replace(",", "") if found else "[invalid]"


def corrupted_gsm8k(solution: str, other: str) -> Iterator[str]:
    head, _, number = solution.rpartition("#### ")
    value = int(number.replace(",", ""))
    for wrong in (value + 1, value * 10, -value, value // 2 - 1):
        if wrong != value:
            yield f"{head}#### {wrong}"
    yield f"{head}#### {value}.5"
    yield other
    yield f"{head}####"


def test_gsm8k_agrees_with_the_published_rule() -> None:
    task, samples = Gsm8kTask(), rows(GSM8K)
    assert len(samples) == 1000
    right, wrong = 0, 0
    for row, other in zip(samples, [*samples[1:], samples[0]], strict=True):
        gold = row["answer"]
        verdict = task.grade(row["question"], gold, gold)
        assert verdict is not None
        assert verdict.canonical == official_gsm8k(gold)
        right += verdict.correct
        for changed in corrupted_gsm8k(gold, other["answer"]):
            judged = task.grade(row["question"], changed, gold)
            assert judged is not None
            official = official_gsm8k(changed) == official_gsm8k(gold)
            assert judged.correct or not official  # what it takes for right is right here
            if changed.endswith("####"):
                continue  # no answer is marked: the last number counts here, which may be right
            assert judged.correct == official, (changed, gold)
            wrong += not judged.correct
    assert right == 1000
    assert wrong > 5900


# HotpotQA: EM and F1 as published


def official_normal(text: str) -> str:
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def official_f1(prediction: str, truth: str) -> float:
    p, t = official_normal(prediction), official_normal(truth)
    if (p in ["yes", "no", "noanswer"] or t in ["yes", "no", "noanswer"]) and p != t:
        return 0.0
    same = sum((Counter(p.split()) & Counter(t.split())).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(p.split()), same / len(t.split())
    return 2 * precision * recall / (precision + recall)


def test_hotpotqa_agrees_with_the_published_measures() -> None:
    task, samples = HotpotTask(), rows(HOTPOT)
    assert len(samples) == 300
    rng = random.Random(0)
    for row in samples:
        truth, other = row["answer"], rng.choice(samples)["answer"]
        words = truth.split()
        tried = [truth, f"The {truth}!", truth.upper(), other, f"{truth} {other}", " ".join(words[:-1]), "yes", "no", "", "the"]  # fmt: skip
        for answer in tried:
            verdict = task.grade(row["question"], answer, truth)
            assert verdict is not None
            assert verdict.correct == (official_normal(answer) == official_normal(truth)), (answer, truth)
            assert verdict.score == pytest.approx(official_f1(answer, truth), abs=1e-12)
            assert exact_match(answer, truth) == verdict.correct
            assert f1_score(answer, truth) == verdict.score
        assert task.domain.read("q", [f"Answer: {truth}"]).key == official_normal(truth)


# MATH-500: math-verify itself


def corrupted_math(row: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    answer = row["answer"]
    number = re.search(r"\d+", answer)
    if number:
        yield f"{answer[: number.start()]}{int(number[0]) + 1}{answer[number.end() :]}"
        yield f"{answer[: number.start()]}{int(number[0]) * 10 + 7}{answer[number.end() :]}"
    if answer != "0":
        yield f"-({answer})" if re.fullmatch(r"[\d./]+|\\frac\{\d+\}\{\d+\}", answer) else f"{answer}+1"
    if math_key(other["answer"]) != math_key(answer):
        yield other["answer"]


DIRECT = """
import json, logging, sys
from math_verify import parse, verify
logging.disable(logging.CRITICAL)
for line in sys.stdin:
    gold, answer = json.loads(line)
    print(json.dumps(verify(parse(f"${gold}$"), parse(answer))), flush=True)
"""


def direct(pairs: list[tuple[str, str]]) -> list[bool]:
    """Ask math-verify as its documentation does, with its own limits, in the main thread of a process of its own."""
    lines = "".join(json.dumps(pair) + "\n" for pair in pairs)
    done = subprocess.run([sys.executable, "-c", DIRECT], input=lines, capture_output=True, text=True, check=True)  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_reference_solutions_of_math500_are_right() -> None:
    task, samples = MathTask(), rows(MATH)
    assert len(samples) == 500
    verdicts = [task.grade(row["problem"], row["solution"], row["answer"]) for row in samples]
    assert sum(verdict is not None and verdict.correct for verdict in verdicts) == 500
    assert all(verdict and verdict.canonical == math_key(row["answer"]) for verdict, row in zip(verdicts, samples, strict=True))  # fmt: skip


def corrupted_pairs() -> list[tuple[str, str]]:
    samples = rows(MATH)
    pairs = zip(samples, [*samples[1:], samples[0]], strict=True)
    return [(row["answer"], wrong) for row, other in pairs for wrong in corrupted_math(row, other)]


def test_corrupted_answers_of_math500_are_wrong() -> None:
    task, wrong = MathTask(), corrupted_pairs()[::4]  # all of them in the slow test below
    assert len(wrong) > 450
    verdicts = [task.grade("q", answer, gold) for gold, answer in wrong]
    assert [
        pair for pair, verdict in zip(wrong, verdicts, strict=True) if verdict is None or verdict.correct
    ] == []


@pytest.mark.slow
def test_math500_agrees_with_math_verify() -> None:
    task = MathTask()
    references = [(row["answer"], row["answer"]) for row in rows(MATH)]
    tried = [(gold, f"${answer}$") for gold, answer in (*references, *corrupted_pairs())]
    official = direct([(gold.replace("\\$", ""), answer.replace("\\$", "")) for gold, answer in tried])
    ours: list[bool | None] = []
    for gold, answer in tried:
        verdict = task.grade("q", answer, gold)
        assert verdict is not None
        ours.append(verdict.correct)
    differ = [(g, a, o, w) for (g, a), o, w in zip(tried, official, ours, strict=True) if o != w]
    assert not differ
    assert sum(official) == 500


@pytest.mark.slow
def test_equal_keys_are_equal_values() -> None:
    samples = rows(MATH)
    groups: dict[str, set[str]] = {}
    for row in samples:
        groups.setdefault(math_key(row["answer"]), set()).add(row["answer"])
    pairs = [
        (first, second) for group in groups.values() for first in group for second in group if first != second
    ]
    assert len(pairs) > 10
    assert all(math_pool().equal(first, second) for first, second in pairs)


def test_there_is_something_to_agree_on() -> None:
    assert math.isclose(official_f1("Greenwich Village", "Greenwich Village, New York City"), 4 / 7)
