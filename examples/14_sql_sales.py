"""Questions over a SQLite database: the model looks round in it, tries queries, and answers with one.

`toolbox=["sql"]` gives the tools sql_tables, sql_describe, sql_sample and sql_query for the database that a question is about; here it is the sales
database that comes with the package. `sql:PATH` or `sql:URL` names one of yours. SQLite is read by a process that cannot write, so an INSERT, however
it is written, comes back as a refusal that the model reads.
"""

import re

from thoughtgraph import ScriptedModel, solve
from thoughtgraph.agents.models.base import GenerationCall
from thoughtgraph.agents.models.scripted import prompt_key

# what the model writes for each question, step by step; in a step <<…>> is a call, and the fenced block at the end is the answer
STEPS = {
    "Which three countries have the most customers?": [
        "First I look which tables there are. <<sql_tables: {}>>",
        "I add one to be sure that it counts. <<sql_query: INSERT INTO customers VALUES (99, 'Eve', 'Peru', NULL, '2024-01-01')>>",
        "So I only count. <<sql_query: SELECT country, count(*) FROM customers GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3>>",
        "```sql\nSELECT country FROM customers GROUP BY country ORDER BY count(*) DESC, country LIMIT 3\n```",
    ],
    "How many orders have not been shipped yet?": [
        "There may be a status. <<sql_query: SELECT count(*) FROM orders WHERE status = 'open'>>",
        "I look at the table. <<sql_describe: orders>>",
        "Without a date it is not shipped. <<sql_query: SELECT count(*) FROM orders WHERE shipped_on IS NULL>>",
        "```sql\nSELECT count(*) FROM orders WHERE shipped_on IS NULL\n```",
    ],
}


def analyst(call: GenerationCall) -> list[str]:
    """Answer in the model's place: the next step after those that the prompt shows with what the database said."""
    asked = prompt_key(call)
    steps = next(steps for question, steps in STEPS.items() if question in asked)
    return [steps[len(re.findall("^Observation: ", asked, re.MULTILINE))]] * call.n


model = ScriptedModel(analyst, chat=True)  # any chat model in its place
for question in STEPS:
    result = solve(question, task="text2sql", scheme="cot", model=model, toolbox=["sql"])
    print(f"\n{question}")
    for thought in result.graph.path():
        for call in result.graph.tool_calls.get(thought.id, ()):
            said = call.result if call.error is None else f"refused: {call.error}"
            print(
                f"  {call.tool} {call.arguments.get('query', '')}\n    "
                + (said or "").replace("\n", "\n    ")
            )
    print(f"  answer: {result.answer}")
