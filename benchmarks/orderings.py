"""Which orderings of the papers a comparison reproduces, and which not.

    python benchmarks/orderings.py benchmarks/results/game24_comparison

Reads the record that `thoughtgraph compare` wrote (comparison.json in that folder) and prints, for each claim, the paired difference in problems
solved at each budget, with the exact sign test over the problems that only one of the two solves. A claim is called reproduced at a budget if the
difference has the claimed sign and p < 0.05, contradicted if it has the other sign and p < 0.05, and open otherwise: a hundred problems do not
settle small differences. Papers are named by their arXiv numbers; the claims are theirs, on other tasks and with larger models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thoughtgraph.tasks.comparison.stats import sign_test

ALPHA = 0.05


class Claim(NamedTuple):
    """What a paper says of two schemes at equal cost."""

    says: str
    source: str
    better: str
    worse: str
    """Labels of the comparison."""
    where: slice = slice(None)
    """Which of the budgets, ascending, it is said of."""


SMALL, LARGE = slice(0, 1), slice(-1, None)

CLAIMS = (
    Claim("a verifier's choice beats the majority's", "2110.14168, 2305.20050", "best_of_n", "self_consistency"),
    Claim("weighing votes by the verifier beats counting them", "2408.03314", "weighted_vote", "self_consistency"),
    Claim("a process verifier beats an outcome verifier", "2305.20050", "best_of_n_prm", "best_of_n"),
    Claim("beam search beats best-of-N at small budgets", "2408.03314 §5", "beam", "best_of_n", SMALL),
    Claim("best-of-N beats beam search at large budgets", "2408.03314 §5", "best_of_n", "beam", LARGE),
    Claim("lookahead is worse than beam search", "2408.03314 §5", "beam", "lookahead"),
    Claim("lookahead is worse than best-of-N", "2408.03314 §5", "best_of_n", "lookahead"),
    Claim("diverse trees beat one beam at large budgets", "search-and-learn", "dvts", "beam", LARGE),
    Claim("Q* beats best-of-N", "2406.14283", "q_star", "best_of_n"),
    Claim("breadth-first tree of thoughts beats self-consistency", "2305.10601", "tot_bfs", "self_consistency"),
    Claim("value-guided tree search beats best-of-N", "2406.03816", "rest_mcts", "best_of_n"),
    Claim("five-action roll-outs beat self-consistency", "2408.06195", "rstar", "self_consistency"),
    Claim("adaptive branching beats repeated sampling", "2503.04412", "ab_mcts_a", "best_of_n"),
    Claim("particle filtering beats the weighted vote", "2502.01618", "particle_filter", "weighted_vote"),
    Claim("choosing by difficulty beats best-of-N everywhere", "2408.03314 §5", "compute_optimal", "best_of_n"),
    Claim("stopping a decided vote early loses nothing against the full vote", "2305.11860", "adaptive_consistency", "self_consistency"),
)  # fmt: skip


class Measured(NamedTuple):
    """One claim at one budget."""

    budget: int
    more: int
    """Problems that only the scheme said to be better solved."""
    fewer: int
    p: float
    tokens: tuple[float, float]
    """A problem, of the better and the worse."""

    @property
    def verdict(self) -> str:
        """What can be said."""
        if not self.more + self.fewer:
            return "no difference"
        if self.p >= ALPHA:
            return "open"
        return "reproduced" if self.more > self.fewer else "contradicted"


def measure(rows: Sequence[Mapping[str, Any]], claim: Claim) -> list[Measured]:
    """Compare the two schemes of a claim at its budgets; [] where one of them was not run."""
    by = {(row["label"], row["budget"]): row for row in rows}
    found: list[Measured] = []
    for budget in sorted({row["budget"] for row in rows})[claim.where]:
        ours, theirs = by.get((claim.better, budget)), by.get((claim.worse, budget))
        if ours is None or theirs is None:
            continue
        a, b = (list(map(sum, zip(*row["solved_by_seed"], strict=True))) for row in (ours, theirs))
        more = sum(x > y for x, y in zip(a, b, strict=True))
        fewer = sum(x < y for x, y in zip(a, b, strict=True))
        tokens = (ours["tokens"], theirs["tokens"])
        found.append(Measured(int(budget), more, fewer, sign_test(more, fewer), tokens))
    return found


def table(record: Mapping[str, Any]) -> str:
    """Return the table of all claims in Markdown."""
    lines = [
        "| claim | source | budget | more / fewer | p | tokens | verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for claim in CLAIMS:
        found = measure(record["rows"], claim)
        if not found:
            lines.append(f"| {claim.says} | {claim.source} | | | | | not compared |")
        for m in found:
            counts, tokens = f"+{m.more} / −{m.fewer}", f"{m.tokens[0]:,.0f} / {m.tokens[1]:,.0f}"
            cells = (claim.says, claim.source, f"{m.budget:,}", counts, f"{m.p:.2g}", tokens, m.verdict)
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table; with --out also store it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where comparison.json lies")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    text = table(json.loads((args.folder / "comparison.json").read_text(encoding="utf-8")))
    print(text, end="")
    if args.out:
        args.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
