"""Priors from log-probabilities."""

import pytest

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Operator, Outcome, Request, Thought
from thoughtgraph.graph.strategies.expansion import Prior
from thoughtgraph.graph.strategies.mcts import mcts

QUESTION = Thought("root", (), Operator.GENERATE, "question", 0)


def priors(prior: Prior, *steps: tuple[float | None, int]) -> list[float]:
    """The priors of children with these log-probabilities and tokens."""
    strategy = mcts(prior=prior)
    request = Request(Operator.GENERATE, ("root",), n=len(steps))
    children = tuple(
        Thought(f"c{i}", ("root",), Operator.GENERATE, f"c{i}", 1, logprob=logprob, tokens=tokens)
        for i, (logprob, tokens) in enumerate(steps)
    )
    state = strategy.tell(strategy.start(QUESTION), [Outcome(request, children)])
    return [state.tree.prior[i + 1] for i in range(len(steps))]


def test_a_probability_is_not_a_mean() -> None:
    # e^-2 : e^-4 is 1 : e^-2, whatever the tokens; the mean per token makes it e^-1 : e^-1
    assert priors("probability", (-2.0, 2), (-4.0, 4)) == pytest.approx([0.8807971, 0.1192029])
    assert priors("logprob", (-2.0, 2), (-4.0, 4)) == pytest.approx([0.5, 0.5])


def test_probabilities_of_long_steps_do_not_vanish() -> None:
    assert priors("probability", (-2000.0, 900), (-2001.0, 900)) == pytest.approx([0.7310586, 0.2689414])
    assert priors("probability", (0.0, 0), (-5000.0, 900)) == [1.0, 0.0]


def test_probabilities_need_logprobs() -> None:
    with pytest.raises(UserError, match=r"prior=probability needs log-probabilities.*use prior=count"):
        priors("probability", (-1.0, 1), (None, 1))
