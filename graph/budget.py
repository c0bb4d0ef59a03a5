"""The meter: what a search may still pay, enforced before each call.

A call reserves its worst case first (all samples at full length) and is settled to what it really cost, so no interleaving of concurrent
calls can exceed a limit. Only `seconds` is enforced differently: nothing new starts, and waiting ends, at the deadline.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from .errors import BudgetSpentError, UserError
from .records import Budget, Usage

LIMITS = tuple(Budget.__dataclass_fields__)
"""Names of the limits; where a name is only half said, the first that holds it is meant: `calls` are model calls."""


def check_limits(names: Iterable[str]) -> None:
    """Raise UserError on a name that is no limit of a budget; the message lists the limits."""
    for name in names:
        if name not in LIMITS:
            whole = [limit for limit in LIMITS if name in limit.split("_")]
            near = [*whole, *difflib.get_close_matches(name, LIMITS, n=1)]
            guess = f" (did you mean {near[0]!r}?)" if near else ""
            raise UserError(f"unknown budget limit {name!r}{guess}; choose one of: {', '.join(LIMITS)}")


@dataclass(frozen=True, slots=True)
class Reservation:
    """The worst case of one call that is under way."""

    samples: int
    """Samples granted (≥ 1)."""
    max_tokens: int
    """Tokens granted to each sample (≥ 1)."""
    usage: Usage
    """The worst case."""


class Meter:
    """Counts what one search paid and refuses what would exceed its budget."""

    def __init__(
        self, budget: Budget, spent: Usage | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.budget = budget
        self._spent = spent or Usage()
        self._reserved = Usage()
        self._clock = clock
        self._started = clock() - self._spent.seconds
        self._limits = list(budget.as_dict().items())
        self.refused: str | None = None
        """Name of the limit that refused a call, once one did."""

    @property
    def usage(self) -> Usage:
        """What was paid, wall-clock seconds included."""
        s = self._spent
        return Usage(
            s.prompt_tokens,
            s.completion_tokens,
            s.model_calls,
            s.verifier_calls,
            s.tool_calls,
            self.elapsed,
            s.usd,
        )

    @property
    def elapsed(self) -> float:
        """Seconds since the search began, those before a resume included."""
        return self._clock() - self._started

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline (≥ 0); None without one."""
        return None if self.budget.seconds is None else max(0.0, self.budget.seconds - self.elapsed)

    def spent(self) -> str | None:
        """Return the name of a limit that is reached, or that refused a call; None while the search may go on."""
        if self.refused is None:
            return next((name for name, limit in self._limits if self._paid(name) >= limit), None)
        return self.refused

    def _paid(self, limit: str) -> float:
        if limit == "seconds":
            return self.elapsed
        return getattr(self._spent, "completion_tokens" if limit == "tokens" else limit)

    def reserve_generation(self, n: int, max_tokens: int, usd_prompt: float, usd_token: float) -> Reservation:
        """Reserve a model call.

        All of it if it fits. What does not fit only because of other calls' worst cases has to wait for them. When nothing else is under way,
        the call shrinks to what is left: to fewer samples, or to one sample of at least a quarter of its length.

        Args:
            n: samples wanted (≥ 1).
            max_tokens: limit of generated tokens a sample.
            usd_prompt: upper bound of the prompt's cost in US dollars.
            usd_token: cost of a generated token in US dollars.

        Raises:
            BudgetSpentError: if it does not fit; `held` if it may fit once calls under way have ended.
        """
        self._require("seconds", self.budget.seconds is None or self.elapsed < self.budget.seconds)
        held = self._spent + self._reserved
        calls = self.budget.model_calls
        self._require("model_calls", calls is None or held.model_calls < calls)
        limit, left = self._tokens_left(held, usd_prompt, usd_token)
        samples = n
        if left is not None and left < n * max_tokens:
            self._require(limit, not self._under_way)
            samples = left // max_tokens
            if samples < 1:
                self._require(limit, 4 * left >= max_tokens and left >= 1)
                samples, max_tokens = 1, left
        worst = Usage(
            completion_tokens=samples * max_tokens,
            model_calls=1,
            usd=usd_prompt + samples * max_tokens * usd_token,
        )
        self._reserved += worst
        return Reservation(samples, max_tokens, worst)

    def _tokens_left(self, held: Usage, usd_prompt: float, usd_token: float) -> tuple[str, int | None]:
        """Return how many tokens may still be generated and which limit says so; None for no limit."""
        bounds: list[tuple[int, str]] = []
        if self.budget.tokens is not None:
            bounds.append((self.budget.tokens - held.completion_tokens, "tokens"))
        if self.budget.usd is not None:
            money = self.budget.usd - held.usd - usd_prompt
            if money < 0:
                bounds.append((0, "usd"))
            elif usd_token > 0:
                bounds.append((int(money / usd_token), "usd"))
        if not bounds:
            return "tokens", None
        left, limit = min(bounds)
        return limit, left

    @property
    def _under_way(self) -> bool:
        return self._reserved.model_calls > 0

    def reserve_nested(self, share: float) -> tuple[Reservation, Budget]:
        """Reserve a share of all that is left, for a search inside a thought.

        Args:
            share: in (0, 1].

        Returns:
            The reservation, to be settled to what that search paid, and the budget it has. Seconds are not shared: it ends when this search does.

        Raises:
            BudgetSpentError: if nothing is left; `held` if something may be once calls under way have ended.
        """
        left = self.seconds_left
        self._require("seconds", left != 0.0)
        held = (self._spent + self._reserved).as_dict()
        slices: dict[str, float] = {}
        for name, limit in self.budget.as_dict().items():
            if name == "seconds":
                continue
            part = (limit - held["completion_tokens" if name == "tokens" else name]) * share
            slices[name] = part if name == "usd" else int(part)
            self._require(name, slices[name] > 0)
        worst = Usage(
            completion_tokens=int(slices.get("tokens", 0)),
            model_calls=int(slices.get("model_calls", 1)),
            verifier_calls=int(slices.get("verifier_calls", 0)),
            tool_calls=int(slices.get("tool_calls", 0)),
            usd=slices.get("usd", 0.0),
        )
        self._reserved += worst
        if left is not None:
            slices["seconds"] = left
        return Reservation(1, 1, worst), Budget(**slices)  # pyright: ignore[reportArgumentType] - counts are whole

    def settle(self, reservation: Reservation, paid: Usage) -> None:
        """Replace a reservation by what was really paid."""
        self._reserved -= reservation.usage
        self._spent += paid

    def take_verifier_calls(self, n: int) -> int:
        """Count up to `n` judgements and return how many fit (≥ 0)."""
        limit = self.budget.verifier_calls
        held = self._spent.verifier_calls + self._reserved.verifier_calls
        fit = n if limit is None else max(0, min(n, limit - held))
        if fit < n:
            self.refused = self.refused or "verifier_calls"
        self._spent += Usage(verifier_calls=fit)
        return fit

    def take_tool_call(self, usd: float = 0.0) -> None:
        """Count one tool call, which costs so many US dollars; raise BudgetSpentError if it does not fit."""
        limit = self.budget.tool_calls
        if limit is not None and self._spent.tool_calls + self._reserved.tool_calls >= limit:
            self.refused = self.refused or "tool_calls"
            raise BudgetSpentError("tool_calls")
        if usd and self.budget.usd is not None:
            self._require("usd", self._spent.usd + self._reserved.usd + usd <= self.budget.usd)
        self._spent += Usage(tool_calls=1, usd=usd)

    def refuse(self, limit: str) -> None:
        """Raise BudgetSpentError for a limit of which too little is left; `held` if it may be more once calls under way have ended."""
        self._require(limit, False)

    def _require(self, limit: str, fits: bool) -> None:
        if fits:
            return
        if self._under_way and limit != "seconds":
            raise BudgetSpentError(limit, held=True)
        self.refused = self.refused or limit
        raise BudgetSpentError(limit)
