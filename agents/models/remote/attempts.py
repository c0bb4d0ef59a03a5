"""How often a call is tried, how long it waits in between, and what it fails with in the end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from ....graph.errors import ModelError, ModelUnavailableError
from ....graph.ids import derive_rng
from ..options import check_least
from .faults import Action, Fault

_MAX_BACKOFF_S = 30.0
_TIMEOUT_TRIES = 3
"""Tries of a request that is not answered in time; each takes the whole timeout."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Bounds of what a call puts up with; raises UserError outside their ranges."""

    tries: int = 5
    """Tries of one fault (≥ 1); in all, twice as many."""
    wait: float = 0.5
    """Seconds before the second try, doubled for each further one (≥ 0)."""

    def __post_init__(self) -> None:
        check_least(1, tries=self.tries)
        check_least(0, wait=self.wait)


class Asked(Protocol):
    """What is asked of a server: a generation, or anything else with an identity."""

    @property
    def route(self) -> str:
        """See `GenerationCall.route`."""
        ...

    def id(self, model: str) -> str:
        """Return the identity of asking the model of this name."""
        ...


class Attempts:
    """The tries of one call.

    Args:
        name: of the model, for messages.
        patience: see there.
        address: see `ClientSettings`.
        call: whose tries they are. The jitter of its waits derives from it: a run repeats itself, and calls do not come in step.
    """

    def __init__(self, name: str, patience: Patience, address: str, call: Asked) -> None:
        self._name = name
        self._address = address
        self._patience = patience
        self._call = call
        self._faults = Counter[str]()
        self._moves = 0

    def moved(self) -> bool:
        """Count a server that was found dead while others are there; return whether the call may move on at once."""
        self._moves += 1
        return self._moves <= self._patience.tries

    def wait_after(self, fault: Fault) -> float:
        """Return the seconds to wait before the next try; the server's own time to wait is its limiter's affair.

        Raises:
            ModelError: if there is no next try; `ModelUnavailableError` if no other call would fare better.
        """
        self._faults[fault.kind] += 1
        same = self._faults[fault.kind]
        if same >= self._tries(fault) or self._faults.total() >= 2 * self._patience.tries:
            raise self._final(fault) from fault
        if fault.after is not None or (fault.action in (Action.RETRY_NOW, Action.RETRY_ONCE) and same == 1):
            return 0.0
        doubled = self._patience.wait * 2.0 ** (same - 1)
        jitter = 0.5 + derive_rng(0, "retry", self._faults.total(), self._call.id(self._name)).random()
        return min(_MAX_BACKOFF_S, doubled) * jitter

    def _tries(self, fault: Fault) -> int:
        tries = self._patience.tries
        if fault.action in (Action.FAIL_CALL, Action.FAIL_RUN):
            return 1
        if fault.action is Action.RETRY_ONCE:
            return min(2, tries)
        if fault.kind == "timeout":
            return min(_TIMEOUT_TRIES, tries)
        return 2 * tries if fault.kind == "busy" else tries

    def _final(self, fault: Fault) -> ModelError:
        if fault.action is Action.FAIL_RUN:
            remedy = _REMEDIES[fault.kind].format(address=self._address)
            return ModelUnavailableError(f"{self._name}: {fault}; {remedy}")
        if fault.action is Action.FAIL_CALL:
            return ModelError(f"{self._name} refused the request ({fault}); {_REMEDIES[fault.kind]}")
        total = self._faults.total()
        times = "once" if total == 1 else f"{total} times"
        if fault.kind == "unreachable":
            return unreachable(self._name, self._address, fault, times)
        return ModelError(
            f"{self._name} failed {times}, at last with: {fault}; try again when the server is well"
        )


def unreachable(name: str, address: str, fault: Fault, times: str = "tried once") -> ModelUnavailableError:
    """Return the error of a model whose servers take no connection; for `address` see `ClientSettings`."""
    return ModelUnavailableError(f"{name}: {fault}, {times}; start the server or check {address}")


_REMEDIES = {
    "account": "check the key, its permissions and the account",
    "not_found": "check the model's name and {address}",
    "unsupported": "start the server for what is asked of it, or begin anew with another model (of a scorer: another task=)",
    "redirected": "give that address as {address}",
    "certificate": "name the authority's certificate in SSL_CERT_FILE",
    "swapped": "serve the right model, or allow that name with served_as",
    "long_wait": "lower max_concurrency, or try again later",
    "context": "shorten the prompt or max_tokens, or serve the model with a longer context",
    "refused": "change the prompt or the parameters it names",
}
"""What to do about faults that no further try mends; a run that they stop says by itself how it is resumed."""
