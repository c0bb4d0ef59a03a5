"""Read the record of a search with plain SQLAlchemy: the tables are typed classes in `thoughtgraph.storage.schema`.

Everything a search thought, paid and decided is a row. Nothing here needs ThoughtGraph but the classes; the same statements run on PostgreSQL.
"""

from sqlalchemy import create_engine, func, select
from sqlalchemy.orm import Session, aliased

from thoughtgraph import solve
from thoughtgraph.storage.engine import default_db_path
from thoughtgraph.storage.schema import EdgeRow, EvaluationRow, ModelCallRow, ThoughtRow, UnitRow

run = solve("1 2 4 6", seed=1).run
engine = create_engine(f"sqlite:///{default_db_path()}")

with Session(engine) as session:
    thought, score, rule = ThoughtRow, aliased(EvaluationRow), aliased(EvaluationRow)

    print("tokens and thoughts by depth")
    by_depth = (
        select(thought.depth, func.count(), func.sum(thought.tokens), func.avg(score.value))
        .outerjoin(score, (score.thought == thought.id) & (score.kind == "step"))
        .where(thought.run == run, thought.depth > 0)
        .group_by(thought.depth)
        .order_by(thought.depth)
    )
    for depth, count, tokens, mean in session.execute(by_depth):
        print(f"  depth {depth}: {count:3} thoughts, {tokens:4} tokens, mean score {mean or 0:.2f}")

    print("refuted steps, and on which promising step they were built")
    parent = aliased(ThoughtRow)
    refuted = (
        select(thought.text, rule.text, parent.text, score.value)
        .join(rule, (rule.thought == thought.id) & (rule.kind == "rule") & (rule.value == 0))
        .join(EdgeRow, EdgeRow.child == thought.id)
        .join(parent, parent.id == EdgeRow.parent)
        .outerjoin(score, (score.thought == parent.id) & (score.kind == "step"))
        .where(thought.run == run)
        .order_by(score.value.desc().nulls_last(), thought.text)
        .limit(5)
    )
    for text, reason, above, value in session.execute(refuted):
        print(f"  {text}: {reason}  [after {above!r}, score {'-' if value is None else f'{value:.2f}'}]")

    print("what was paid")
    calls = select(ModelCallRow.model, func.count(), func.sum(ModelCallRow.completion_tokens))
    for model, count, tokens in session.execute(
        calls.where(ModelCallRow.run == run).group_by(ModelCallRow.model)
    ):
        print(f"  {model}: {count} calls, {tokens} tokens")
    unit = session.scalars(select(UnitRow).where(UnitRow.run == run)).one()
    print(f"  answer {unit.answer}, score {unit.score}, stopped: {unit.stopped}")
