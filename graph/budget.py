"""The meter: what a search may still pay, enforced before each call.

A call reserves its worst case first (all samples at full length) and is settled to what it really cost, so no interleaving of concurrent
calls can exceed a limit. Only `seconds` is enforced differently: nothing new starts, and waiting ends, at the deadline.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from .errors import BudgetSpentError
from .records import Budget, Usage


@dataclass(frozen=True, slots=True)
class Reservation:
    """The worst case of one call that is under way."""

    samples: int
    usage: Usage


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
            usage = self.usage
            paid = {
                "tokens": usage.completion_tokens,
                "model_calls": usage.model_calls,
                "verifier_calls": usage.verifier_calls,
                "tool_calls": usage.tool_calls,
                "seconds": usage.seconds,
                "usd": usage.usd,
            }
            return next((name for name, limit in self.budget.as_dict().items() if paid[name] >= limit), None)
        return self.refused

    def reserve_generation(
        self, n: int, max_tokens: int, usd_prompt: float, usd_sample: float
    ) -> Reservation:
        """Reserve a model call for as many of `n` samples as fit.

        Args:
            n: samples wanted (≥ 1).
            max_tokens: limit of generated tokens a sample.
            usd_prompt: upper bound of the prompt's cost in US dollars.
            usd_sample: upper bound of one sample's cost in US dollars.

        Raises:
            BudgetSpentError: if not one sample fits.
        """
        held = self._spent + self._reserved
        budget = self.budget
        if budget.seconds is not None and self.elapsed >= budget.seconds:
            self._refuse("seconds")
        if budget.model_calls is not None and held.model_calls >= budget.model_calls:
            self._refuse("model_calls")
        fit = n
        if budget.tokens is not None:
            fit = min(fit, (budget.tokens - held.completion_tokens) // max_tokens)
            if fit < 1:
                self._refuse("tokens")
        if budget.usd is not None:
            left = budget.usd - held.usd - usd_prompt
            fit = min(fit, int(left / usd_sample) if usd_sample > 0 else (n if left >= 0 else 0))
            if fit < 1:
                self._refuse("usd")
        worst = Usage(completion_tokens=fit * max_tokens, model_calls=1, usd=usd_prompt + fit * usd_sample)
        self._reserved += worst
        return Reservation(fit, worst)

    def settle(self, reservation: Reservation, paid: Usage) -> None:
        """Replace a reservation by what was really paid."""
        self._reserved += _negated(reservation.usage)
        self._spent += paid

    def take_verifier_calls(self, n: int) -> int:
        """Count up to `n` judgements and return how many fit (≥ 0)."""
        limit = self.budget.verifier_calls
        fit = n if limit is None else min(n, limit - self._spent.verifier_calls)
        if fit < n:
            self.refused = self.refused or "verifier_calls"
        self._spent += Usage(verifier_calls=fit)
        return fit

    def take_tool_call(self) -> None:
        """Count one tool call; raise BudgetSpentError if none is left."""
        limit = self.budget.tool_calls
        if limit is not None and self._spent.tool_calls >= limit:
            self._refuse("tool_calls")
        self._spent += Usage(tool_calls=1)

    def _refuse(self, name: str) -> None:
        self.refused = self.refused or name
        raise BudgetSpentError(name)


def _negated(usage: Usage) -> Usage:
    return Usage(**{name: -amount for name, amount in usage.as_dict().items()})
