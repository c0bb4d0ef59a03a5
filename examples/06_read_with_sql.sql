-- Read the record of a search with SQL alone: `sqlite3 FILE < 06_read_with_sql.sql`, or any other client.
-- The statements look at the newest run. Tables and columns are described in storage/schema.py.

-- the newest runs, with their results
select r.scheme, p.question, u.answer, round(u.score, 3) as score, u.stopped, u.completion_tokens as tokens
from unit u join run r on r.id = u.run join problem p on p.task = u.task and p.id = u.problem
order by r.created_at desc limit 5;

-- the path of the answer, from the question down: edges are followed upwards from the thought that was answered with
with recursive newest as (select id from run order by created_at desc limit 1),
path(id) as (
  select u.thought from unit u join newest on u.run = newest.id
  union all
  select e.parent from edge e join path on e.child = path.id where e.position = 0
)
select t.depth, t.text, t.tokens, round(e.value, 3) as step_score
from path join thought t on t.id = path.id
left join evaluation e on e.thought = t.id and e.kind = 'step'
order by t.depth;

-- which rules refuted how many thoughts, with one example
select e.source, count(*) as refuted, min(e.text) as example
from evaluation e where e.kind = 'rule' and e.value = 0
and e.run = (select id from run order by created_at desc limit 1)
group by e.source;

-- what the search did, operator by operator
select v.kind, count(*) as times from event v
where v.run = (select id from run order by created_at desc limit 1)
group by v.kind order by times desc, v.kind;
