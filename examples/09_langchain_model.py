"""Any LangChain chat model as the model of a search.

Offline, so with a chat model that answers from a list; a real one goes in the same place:

    from langchain_anthropic import ChatAnthropic
    model = LangChainModel(ChatAnthropic(model="claude-sonnet-4-5"), price=Price(prompt=3, completion=15))

or, without writing Python, `--model 'langchain:anthropic:claude-sonnet-4-5?price=3,15'`. The price, in dollars per million prompt and completion tokens, lets a
budget in dollars hold: `budget={"usd": 0.05}`.
"""

from langchain_core.language_models.fake_chat_models import FakeListChatModel

from thoughtgraph import solve
from thoughtgraph.agents.models.langchain import LangChainModel

chat = FakeListChatModel(
    responses=[
        "17 * 20 = 340\n17 * 3 = 51\n340 + 51 = 391\nAnswer: 391",
        "17 * 23 = 381\nAnswer: 381",
        "20 * 23 = 460\n3 * 23 = 69\n460 - 69 = 391\nAnswer: 391.",
    ]
)
model = LangChainModel(chat)  # your model here

result = solve(
    "What is 17 * 23?",
    task="text",
    scheme="self_consistency",
    params={"n": 6, "block": 3},
    model=model,
    budget={"tokens": 50_000},
)
print(result)
print(f"answer {result.answer}: {result.score:.0%} of the votes that no check refuted, by {model.name}")
