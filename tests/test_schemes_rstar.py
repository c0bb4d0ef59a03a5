"""rStar and rStar-Math against values worked out by hand: legality, votes, rewards, consistency, preference pairs."""

from __future__ import annotations

from typing import Any

import pytest
from hand_made import Hand
from hypothesis import given, settings
from hypothesis import strategies as st
from search_world import World, run

from thoughtgraph.graph.errors import UserError
from thoughtgraph.graph.records import Evaluation, Operator, Outcome, Request, Thought
from thoughtgraph.graph.schemes import get_scheme, make_strategy
from thoughtgraph.graph.strategies.preferences import preference_pairs
from thoughtgraph.graph.strategies.rstar import ACTIONS, Rollouts
from thoughtgraph.graph.strategies.tree import ROOT


def requests_of(search: Hand, k: int = 9) -> dict[str, Request]:
    """Ask, and return the requests by action."""
    return {request.action: request for request in search.ask(k)}


# what may follow what -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parent", "expected"),
    [
        ("question", "A1 A2 A3 A5"),
        ("rephrase", "A1 A2 A3"),
        ("subquestion", "A1 A2 A3 A4"),
        ("reanswer", "A1 A2 A3"),
        ("", "A1 A2"),
        ("finish", ""),
    ],
)
def test_the_legality_table(parent: str, expected: str) -> None:
    """The table of the published code: A4 only after A3, A5 only at the root, one-step thoughts go on as such."""
    strategy: Any = make_strategy("rstar")
    assert strategy.selector.legal(Rollouts(kind={7: parent}), 7) == expected.split()


def test_all_legal_actions_are_asked_at_once_with_their_samples() -> None:
    search = Hand("rstar")
    asked = [(r.action, r.n, r.horizon, r.distinct, r.temperature) for r in search.ask(9)]
    assert asked == [
        ("", 3, "step", True, 0.8),
        ("finish", 32, "answer", False, 0.8),
        ("subquestion", 30, "step", False, 0.8),
        ("rephrase", 1, "step", True, 0.8),
    ]


@pytest.mark.parametrize(
    ("action", "follow"),
    [
        ("A1", {"", "finish"}),
        ("A3", {"", "finish", "subquestion", "reanswer"}),
        ("A5", {"", "finish", "subquestion"}),
    ],
)
def test_a_roll_out_goes_on_with_what_its_thought_allows(action: str, follow: set[str]) -> None:
    search = Hand("rstar")
    for name, request in requests_of(search).items():
        if name == ACTIONS[action]:
            search.grow(request, {"next": None})
        else:
            search.tell(Outcome(request, error="lost"))
    requests = requests_of(search)
    assert set(requests) == follow
    assert {request.subjects for request in requests.values()} == {("next",)}
    if action == "A3":  # and what comes of A4 may not be answered again
        search.grow(requests.pop("reanswer"), {"again": None})
        for request in requests.values():
            search.tell(Outcome(request))
        assert set(requests_of(search)) == {"", "finish", "subquestion"}


# votes and rewards ----------------------------------------------------------------------------------------------------------------


def test_a2_becomes_its_most_frequent_answer_with_the_vote_share_as_reward() -> None:
    """Of 5 samples x has 3 (the first of them refuted), y 1, one came to no answer: 3/5 for the second x."""
    search = Hand("rstar", actions="A2", answers=5, rollouts=1, discriminate=False)
    request = search.one()
    search.chains(
        request,
        {"s1": None, "x1!": None},
        {"s2": None, "y1!": None},
        {"s3": None},
        {"s4": None, "x2!": None},
        {"x3!": None},
        answers={"x1!": "x", "x2!": "x", "x3!": "x", "y1!": "y"},
    )
    assert search.answer().thought == "x1!"
    assert (search.n("root"), search.q("root")) == (1, pytest.approx(3 / 5))
    # told again with the first x refuted
    search = Hand("rstar", actions="A2", answers=5, rollouts=1, discriminate=False)
    thoughts = tuple(
        Thought(n, ("root",), Operator.GENERATE, n, 1, sample=i, terminal=True, answer=n[0], key=n[0])
        for i, n in enumerate(("x1", "y1", "x2", "x3"))
    )
    open_ = Thought("s", ("root",), Operator.GENERATE, "s", 1, sample=4)
    refuted = Evaluation("x1", "rule", "r", 0.0)
    search.tell(Outcome(search.one(), (*thoughts, open_), (refuted,)))
    assert (search.n("x2"), search.q("x2")) == (1, pytest.approx(3 / 5))
    assert (search.n("root"), search.q("root")) == (1, pytest.approx(3 / 5))
    assert search.answer().thought == "x2"
    assert search.state.memory.rewards == {search.tree.index["x2"]: pytest.approx(3 / 5)}


def test_rewards_are_summed_along_the_path_and_the_depth_cap_earns_nothing() -> None:
    """Two one-step thoughts, no direct answer at the root. Roll-out 1 goes to one of them, whose A2 is x with 2 of 4.

    If it then draws A2's child: root, s: N 1, Q .5; if it draws A1's, which is at the cap: Q 0. Roll-out 2 must take the other one (unvisited
    before any UCT), whose only child is an A2 of share 1: root N 2, Q = (first + 1) / 2.
    """
    for seed in range(6):
        search = Hand("rstar", seed, actions="A1,A2", depth=2, thoughts=2, answers=4, discriminate=False)
        root = requests_of(search)
        search.grow(root[""], {"s1": None, "s2": None})
        search.tell(Outcome(root["finish"]))
        first = requests_of(search, 2)
        [name] = first[""].subjects
        search.grow(first[""], {"cap": None})
        search.chains(
            first["finish"],
            {"x!": None},
            {"w!": None},
            {"y!": None},
            {"z!": None},
            answers={"x!": "x", "w!": "x", "y!": "y", "z!": "z"},
        )
        reward = search.q("root")
        assert reward in (0.0, 0.5)
        assert search.q(name) == reward
        assert (search.q("x!") if reward else search.q("cap")) == reward
        second = requests_of(search, 2)
        assert second[""].subjects == ("s2" if name == "s1" else "s1",)
        search.tell(Outcome(second[""]))
        search.chains(second["finish"], {"v!": None})
        assert (search.n("root"), search.q("root")) == (2, pytest.approx((reward + 1) / 2))
        assert search.ask() == []


def test_uct_with_w_2() -> None:
    """N_p = 4: .5 + 2 · √(ln 4 / 3) = .5 + 2 · .6797780 = 1.8595559; .2 + 2 · √ln 4 = .2 + 2 · 1.1774100 = 2.5548200."""
    search = Hand("rstar", actions="A1")
    search.grow(search.one(), {"a": None, "b": None})
    for name, visits, value in (("root", 4, 0.4), ("a", 3, 0.5), ("b", 1, 0.2)):
        search.tree.set_value(search.tree.index[name], value, visits, visits)
    search.tree.pending[:] = type(search.tree.pending)("i", [0] * len(search.tree))
    assert search.scores() == pytest.approx({"a": 1.8595559, "b": 2.5548200}, abs=1e-6)


def test_every_child_is_visited_before_any_is_compared() -> None:
    world = World(seed=4, depth=3, letters=5, goal=2.0)
    strategy: Any = make_strategy(
        "rstar", {"actions": "A1", "thoughts": 4, "depth": 9, "discriminate": False}
    )
    trace = run(strategy, world, k=1, limit=40)
    expanded = [o.request.subjects[0] for o in trace.told]
    tree = trace.state.tree
    firsts = [n for n in dict.fromkeys(tree.index[e] for e in expanded) if tree.depth[n] == 1]
    children = trace.state.memory.children[ROOT]
    assert sorted(firsts[: len(children)]) == sorted(children)


def test_a3_keeps_the_pairs_with_the_most_votes() -> None:
    """Six samples: How many? 3, three times in two spellings; Who? 4, twice; How many? 5, once. The two with 3 and 2 votes stay."""
    search = Hand("rstar", actions="A3,A2", subquestions=2, votes=3, answers=1)
    requests = requests_of(search)
    assert requests["subquestion"].n == 6
    texts = {
        "a": "Sub-question: How many? 1 + 2 = 3. Answer: 3",
        "b": "Sub-question: Who? Answer: 4",
        "c": "sub-question: how many? 4 - 1 = 3. answer: 3.",
        "d": "Sub-question: How many? Answer: 5",
        "e": "Sub-question: How  many? The answer is 3",
        "f": "Sub-question: Who? 2 + 2. Answer: 4",
    }
    search.grow(requests["subquestion"], dict.fromkeys(texts), texts=texts)
    search.tell(Outcome(requests["finish"]))
    children = search.state.memory.children[ROOT]
    assert [search.tree.thought[child].id for child in children] == ["a", "b"]
    [pruned] = [op.subjects for op in search.state.operations if op.operator is Operator.PRUNE]
    assert pruned == ("c", "d", "e", "f")


def test_a4_keeps_the_answer_with_the_most_votes_however_the_question_is_put() -> None:
    search = Hand("rstar", actions="A3,A4", subquestions=1, votes=3)
    search.grow(search.one(), {"q": None})
    requests = requests_of(search)
    texts = {"a": "How many? Answer: 2", "b": "So how many? Answer: 3", "c": "how many are there? Answer: 3"}
    search.grow(requests["reanswer"], dict.fromkeys(texts), texts=texts)
    search.tell(Outcome(requests["subquestion"]))
    children = search.state.memory.children[search.tree.index["q"]]
    assert [search.tree.thought[child].id for child in children] == ["b"]


def test_a_step_of_a_direct_answer_may_be_a_thought_that_goes_on() -> None:
    """Merged states: the chain's first thought is also A1's, whichever came first, and is expanded."""
    for order in (1, -1):
        search = Hand("rstar", actions="A1,A2", merge_states=True, discriminate=False, thoughts=1, answers=1)
        root = requests_of(search)

        def step(id_: str, parent: str, request: Request, *, end: bool = False) -> Thought:
            answer = "x" if end else None
            depth, state = (2, None) if end else (1, "same")
            return Thought(
                id_,
                (parent,),
                Operator.GENERATE,
                id_,
                depth,
                request.id,
                terminal=end,
                answer=answer,
                key=answer,
                state=state,
            )

        chain = (step("c", "root", root["finish"]), step("e", "c", root["finish"], end=True))
        outcomes = [Outcome(root[""], (step("s", "root", root[""]),)), Outcome(root["finish"], chain)]
        for outcome in outcomes[::order]:
            search.tell(outcome)
        tree = search.tree
        assert tree.index["s"] == tree.index["c"]
        assert search.state.memory.children[ROOT] == [tree.index["s"], tree.index["e"]]
        assert {r.subjects[0] for r in search.ask(2)} <= {"s", "c"}


# mutual consistency ---------------------------------------------------------------------------------------------------------------


def three_answers(**params: Any) -> Hand:
    """Three rounds of A2 at the root, 4 samples each: x with 3/4, y with 2/4, x with 2/4."""
    search = Hand("rstar", actions="A2", answers=4, rollouts=3, max_expansions=3, **params)
    for letters in ("xxxa", "yybc", "xxde"):
        request = next(r for r in search.ask(9) if r.grows)
        first = request.first_sample
        search.chains(
            request,
            *(dict[str, float | None]({f"{letter}{first + i}!": None}) for i, letter in enumerate(letters)),
            answers={f"{letter}{first + i}!": letter for i, letter in enumerate(letters)},
        )
    return search


def agree(search: Hand, **shares: float | None) -> None:
    """Tell how far the discriminator agreed with each candidate."""
    for node in search.state.memory.rewards:
        name = search.tree.thought[node].id
        request = Request(Operator.EVALUATE, (name,), 4, action="discriminate", agent="discriminator")
        search.judge(request, "agreement", shares[name.strip("!")])


def test_mutual_consistency_by_hand() -> None:
    """Candidates x0 .75, y4 .5, x8 .5. Without a discriminator: x (.75 + .5) / 3 = .4166667.

    It agrees with x0 in 2 of 4, y4 in 4, x8 in 1. Survivors x0, y4: x .75 / 2 + 1 / 2 = .875, y .5 / 2 + 1 / 1 = 1.25, halved .625.
    """
    search = three_answers()
    answer = search.answer()
    assert (answer.key, answer.score) == ("x", pytest.approx(1.25 / 3))
    agree(search, x0=0.5, y4=1.0, x8=0.25)
    answer = search.answer()
    assert (answer.thought, answer.key, answer.score) == ("y4!", "y", pytest.approx(0.625))
    choice = search.strategy.choose(search.state)
    assert (choice.rule, choice.candidates) == ("consistency", 12)


def test_without_survivors_confidence_decides_and_a_failed_judgement_is_no_verdict() -> None:
    search = three_answers()
    agree(search, x0=0.25, y4=0.0, x8=0.25)
    answer = search.answer()
    assert (answer.key, answer.score) == ("x", pytest.approx(1.25 / 3))
    # y4 unknown: survivor x0 alone: .75 / 1 + 1 / 2 = 1.25, halved
    search = three_answers()
    agree(search, x0=0.5, y4=None, x8=0.25)
    answer = search.answer()
    assert (answer.thought, answer.score) == ("x0!", pytest.approx(0.625))


def test_the_discriminator_is_asked_about_every_candidate_once_unless_one_answer_is_sure() -> None:
    search = Hand("rstar", actions="A2", answers=2, rollouts=3, max_expansions=3)
    request = search.one()
    search.chains(request, {"x0!": None}, {"x1!": None}, answers={"x0!": "x", "x1!": "x"})
    [request] = search.ask(9)  # x is sure: the next round, and nobody is asked to agree
    assert request.action == "finish"
    search.chains(request, {"y0!": None}, {"z0!": None})
    requests = [r for r in search.ask(9) if not r.grows]
    assert [(r.subjects, r.n, r.action, r.agent) for r in requests] == [
        (("x0!",), 4, "discriminate", "discriminator"),
        (("y0!",), 4, "discriminate", "discriminator"),
    ]
    for request in requests:
        search.judge(request, "agreement", None)
    assert [r for r in search.ask(9) if not r.grows] == []


def test_a_candidate_that_was_read_once_and_agreed_does_not_survive() -> None:
    """4 beginnings, 2 must agree. x0 (.75): one could be read, and agreed: share 1, 1 answer. y4 (.5): 2 of 4. x8 (.5): none.

    y4 alone survives, though x0 has the higher reward and share: y .5 / 1 + 1 / 1 = 1.5, halved .75.
    """
    search = three_answers(prefixes=4, agree=2)
    for name, agreed, read in (("x0!", 1, 1), ("y4!", 2, 4), ("x8!", 0, 4)):
        request = Request(Operator.EVALUATE, (name,), 4, action="discriminate", agent="discriminator")
        said = Evaluation(name, "agreement", "hand", agreed / read, rollouts=read, successes=agreed)
        search.tell(Outcome(request, (), (said,)))
    answer = search.answer()
    assert (answer.thought, answer.key, answer.score) == ("y4!", "y", pytest.approx(0.75))
    assert search.strategy.choose(search.state).rule == "consistency"


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.none() | st.integers(0, 4), st.floats(0, 1)),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=100, deadline=None)
def test_the_chosen_answer_is_never_one_that_fell_while_another_survived(
    candidates: list[tuple[str, int | None, float]],
) -> None:
    search = Hand("rstar", actions="A2", answers=1, rollouts=1)
    names = [f"{key}{i}!" for i, (key, _, _) in enumerate(candidates)]
    thoughts = tuple(
        Thought(n, ("root",), Operator.GENERATE, n, 1, sample=i, terminal=True, answer=n[0], key=n[0])
        for i, n in enumerate(names)
    )
    search.tell(Outcome(search.one(), thoughts))
    memory = search.state.memory
    memory.rewards.clear()
    for name, (_, same, reward) in zip(names, candidates, strict=True):
        memory.rewards[search.tree.index[name]] = reward
        memory.agreement[search.tree.index[name]] = same
    choice = search.strategy.finalizer.choose(search.state, sorted(memory.rewards))
    assert 0.0 <= choice.score <= 1.0 + 1e-9
    survived = [same for _, same, _ in candidates if same is not None and same >= 2]
    if survived:
        chosen = memory.agreement[choice.node]
        assert chosen is not None
        assert chosen >= 2


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"actions": "A1,A7"}, "knows no action 'A7'"),
        ({"actions": "A5,A4"}, "add A2"),
        ({"agree": 5}, "agree=5 of prefixes=4"),
        ({"subquestions": 200, "votes": 100}, "subquestions=200 × votes=100 samples are too many"),
    ],
)
def test_parameters_that_cannot_be(params: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_strategy("rstar", params)


def test_needs_follow_the_actions() -> None:
    scheme = get_scheme("rstar")
    values = {parameter.name: parameter.default for parameter in scheme.parameters}
    assert scheme.needs(values) == {
        "finish",
        "subquestion",
        "reanswer",
        "rephrase",
        "discriminate",
        "agent:discriminator",
    }
    assert scheme.needs({**values, "actions": "a1, a2", "discriminate": False}) == {"finish"}


# rStar-Math -----------------------------------------------------------------------------------------------------------------------


def test_rstar_math_backs_up_finished_solutions_only() -> None:
    """a's own .4 is one visit, its leaves .8 and .6 two more: Q (.4 + .8 + .6) / 3 = .6, N 3. c under a counts for itself only.

    root: its leaves are a's: N 2, Q .7. UCT at the root: a .6 + 2 √(ln 2 / 3) = .6 + 2 · .4806756 = 1.5613513, b .5 + 2 √ln 2 = 2.1651092
    """
    search = Hand("rstar_math", branching=2)
    search.grow(search.one(), {"a": 0.4, "b": 0.5})
    search.grow(Request(Operator.GENERATE, ("a",), n=3), {"x!": 0.8, "y!": 0.6, "c": 0.9})
    assert (search.n("a"), search.q("a")) == (3, pytest.approx(0.6))
    assert (search.n("c"), search.q("c")) == (1, 0.9)
    assert (search.n("root"), search.q("root")) == (2, pytest.approx(0.7))
    assert search.scores() == pytest.approx({"a": 1.5613513, "b": 2.1651092}, abs=1e-6)


def test_rstar_math_scores_the_unvisited_0_where_it_does_not_start_from_their_values() -> None:
    """a: one leaf .2, ln 1 = 0: .2; b, worth .9 but unvisited: 0. Among unvisited ones the first is taken."""
    search = Hand("rstar_math", initialise=False)
    search.grow(search.one(), {"a": 0.4, "b": 0.9})
    assert search.scores() == {"a": 0.0, "b": 0.0}
    search.grow(search.one(), {"x!": 0.2, "c": 0.9})
    assert search.scores() == pytest.approx({"a": 0.2, "b": 0.0})
    assert search.one().subjects == ("c",)


def test_rstar_math_goes_down_until_nothing_is_unfinished_and_drops_what_failed_its_check() -> None:
    search = Hand("rstar_math", iterations=1, depth=3)
    search.grow(search.one(), {"a": 0.9, "b": 0.5}, refuted="a")
    assert search.q("a") is None
    search.grow(search.one(), {"x!": 0.9, "c": 0.1})
    request = search.one()
    assert request.subjects == ("c",)
    search.grow(request, {"d": 0.3, "y!": 0.95})
    assert search.ask() == []  # d is at the depth cap
    assert search.answer().thought == "y!"


def finished(search: Hand, parent: str, **outcomes: float) -> None:
    """Tell finished children of a thought, which were checked: name_VALUE in percent, with the check's verdict."""
    request = Request(Operator.GENERATE, (parent,), n=len(outcomes))
    depth = search.tree.depth[search.tree.index[parent]] + 1
    thoughts = tuple(
        Thought(n, (parent,), Operator.GENERATE, n, depth, sample=i, terminal=True, answer=n, key=n)
        for i, n in enumerate(outcomes)
    )
    verdicts = tuple(Evaluation(n, "outcome", "check", v) for n, v in outcomes.items())
    search.tell(Outcome(request, thoughts, verdicts))


def test_preference_pairs_by_hand() -> None:
    """Leaves are worth their checks; own values count as one visit.

    a .6: right leaf: Q (.6 + 1) / 2 = .8         best continuation (.8 + 1) / 2 = .9
    b .4: right and wrong: Q (.4 + 1 + 0) / 3 = 1.4 / 3 = .4666667; best (1.4/3 + 1) / 2, worst (1.4/3 + 0) / 2 = .2333333
    c .9: wrong: Q (.9 + 0) / 2 = .45             worst (.45 + 0) / 2 = .225
    d .2: wrong: Q (.2 + 0) / 2 = .1              worst (.1 + 0) / 2 = .05
    e .5: nothing finished below it, neither

    Of root: right a, b; wrong d (.1), c (.45), b. Chosen a, b; rejected d, c. a-d .7 and .85; a-c .35 and .675; b-d .3666667 and
    .7333333 - .05 = .6833333; b-c .0166667 and .7333333 - .225 = .5083333. Of b: its right leaf (1) and its wrong one (0): 1 and 1.
    """
    search = Hand("rstar_math")
    search.grow(search.one(), {"a": 0.6, "b": 0.4, "c": 0.9, "d": 0.2, "e": 0.5})
    finished(search, "a", a1=1.0)
    finished(search, "b", b1=1.0, b2=0.0)
    finished(search, "c", c1=0.0)
    finished(search, "d", d1=0.0)
    pairs = preference_pairs(search.tree)
    expected = [
        ("root", "a", "d", 0.7, 0.85),
        ("root", "a", "c", 0.35, 0.675),
        ("root", "b", "d", 1.4 / 3 - 0.1, (1.4 / 3 + 1) / 2 - 0.05),
        ("root", "b", "c", 1.4 / 3 - 0.45, (1.4 / 3 + 1) / 2 - 0.225),
        ("b", "b1", "b2", 1.0, 1.0),
    ]
    assert [(p.parent, p.chosen, p.rejected) for p in pairs] == [row[:3] for row in expected]
    for pair, row in zip(pairs, expected, strict=True):
        assert (pair.margin, pair.continuation_margin) == pytest.approx(row[3:])


def test_a_side_with_one_member_meets_up_to_four_of_the_other() -> None:
    search = Hand("rstar_math")
    search.grow(search.one(), {"g": 0.9, "p": 0.5, "q": 0.4, "r": 0.3, "s": 0.2, "t": 0.1})
    finished(search, "g", good=1.0)
    for name in "pqrst":
        finished(search, name, **{f"{name}1": 0.0})
    pairs = preference_pairs(search.tree)
    assert [(p.chosen, p.rejected) for p in pairs] == [("g", n) for n in "tsrq"]


def test_a_pair_needs_a_margin_and_a_better_continuation() -> None:
    # right r: own .1, leaf 1: .55; wrong w: own .9 and two more right leaves lift it above: Q (.9 + 1 + 1 + 0) / 4 = .725
    search = Hand("rstar_math")
    search.grow(search.one(), {"r": 0.1, "w": 0.9})
    finished(search, "r", r1=1.0)
    finished(search, "w", w1=1.0, w2=1.0, w3=0.0)
    pairs = [p for p in preference_pairs(search.tree) if p.parent == "root"]
    assert pairs == []  # right: w .725, r .55; wrong: w alone: w-w and r-w have no margin


@given(seed=st.integers(0, 999), letters=st.integers(2, 4))
@settings(max_examples=15, deadline=None)
def test_pairs_of_any_tree_have_margins_and_right_and_wrong_descendants(seed: int, letters: int) -> None:
    world = World(seed=seed, goal=0.6, letters=letters, depth=3, refuting=0.1)
    tree = run(make_strategy("rstar_math", {"branching": 4}), world).state.tree
    below: dict[str, set[float | None]] = {}
    for terminal in tree.terminals:
        outcome = tree.mean(terminal, "outcome")
        for node in tree.path(terminal):
            below.setdefault(tree.thought[node].id, set()).add(outcome)
    for pair in preference_pairs(tree):
        assert pair.margin > 0
        assert pair.continuation_margin > 0
        assert 1.0 in below[pair.chosen]
        assert 0.0 in below[pair.rejected]
