"""The SQL of a journal's rows in PostgreSQL. What each does, and what it is for, `model.operations` says.

`?` is a parameter, `{s}` the schema, NOW the server's clock (`schema.placed`). Each is one statement, so that
several go to the server in one message.
"""

from __future__ import annotations

from typing import Any, Final

from inprocess.journal.model.job import MAX_KILLS
from inprocess.journal.model.operations import SETS, Action, Filter, SetName

# ruff: noqa: S608 - what is put into a statement here are names and placeholders of our own

#: In the order of `Row`.
COLUMNS: Final = (
    "n, id, fn, queue, priority, state, codec, args, ukey, attempt, max_attempts, kills, due, created, "
    "ended, holder, token, error"
)
#: A notification that asks only whether notifications come.
PROBE: Final = "probe"
#: Seconds that an enqueue waits for the transaction of another job with its key, before others go first.
KEY_WAIT: Final = b"set local lock_timeout = '100ms'"

#: New jobs: those that may run at once take the server's time. `holder` claims a job, if it is there still;
#: its row stays locked until the commit, so that nobody reaps it before. In the order of keys, since equal
#: ones wait for each other. Tells others on the channel of a job that they may run.
INSERT: Final = """
with given as (
    select * from unnest(?::text[], ?::text[], ?::text[], ?::smallint[], ?::text[], ?::bytea[], ?::text[],
        ?::bigint[], ?::bigint[], ?::bigint[], ?::bigint[]) with ordinality
    as g (id, fn, queue, priority, codec, args, ukey, max_attempts, due, created, holder, place)
), clock as materialized (select NOW as now
), home as materialized (select 1 from {s}.journal_meta where journal = ?::text
), living as materialized (
    select n from {s}.journal_holder where n in (select holder from given) for key share
), new as (
    insert into {s}.journal_job (id, fn, queue, priority, codec, args, ukey, max_attempts, due, created,
        state, holder, token, attempt)
    select g.id, g.fn, g.queue, g.priority, g.codec, g.args, g.ukey, g.max_attempts,
        case when g.due <= g.created then clock.now else g.due end,
        case when g.due <= g.created then clock.now else least(clock.now, g.due) end,
        case when living.n is null then 1 else 2 end, living.n,
        case when living.n is null then 0 else 1 end, case when living.n is null then 0 else 1 end
    from given g cross join clock cross join home left join living on living.n = g.holder
    order by g.ukey, g.place
    on conflict do nothing returning n, id, holder, due, created
)
select n, id, holder, due, created,
    case when holder is null and due <= created and ? then pg_notify(?::text, '')::text end
from new
"""
THERE: Final = """
select n, id from {s}.journal_job where id = ?::text
union all select n, id from {s}.journal_job where ukey = ?::text and state in (1, 2, 5, 6) limit 1
"""
CLAIM: Final = f"select {COLUMNS} from {{s}}.journal_claim(?, ?::text[], ?::text[], ?, ?, ?)"
FINISHED: Final = "select * from {s}.journal_finish(?::bigint[], ?::bigint[], ?)"
#: The second column: whether another run has the row, or had it. A commit in doubt is no other run.
FAILED: Final = """
with changed as (
    update {s}.journal_job set
        state = case when ?::bigint is null or attempt >= max_attempts then 4 else 1 end,
        ended = case when ?::bigint is null or attempt >= max_attempts then NOW end,
        due = coalesce(NOW + ?::bigint, due), holder = null, error = ?
    where n = ? and token = ? and state = 2 returning n
)
select not exists (select 1 from changed)
    and not exists (select 1 from {s}.journal_job where n = ? and token = ? and state <> 2)
"""
GIVEN_BACK: Final = """
with given as (select * from unnest(?::bigint[], ?::bigint[]) as g (n, token)), changed as (
    update {s}.journal_job j set state = 1, due = least(due, NOW), holder = null, attempt = attempt - 1
    from given g where j.n = g.n and j.token = g.token and j.state = 2 returning j.n
)
select g.n from given g where not exists (select 1 from changed c where c.n = g.n)
    and not exists (select 1 from {s}.journal_job j where j.n = g.n and j.token = g.token and j.state <> 2)
"""
PARKED: Final = """
with changed as (
    update {s}.journal_job set state = 5, holder = null, attempt = attempt - 1, error = ?,
        parked_by = trim(coalesce(parked_by, '') || ' ' || ?::text)
    where n = ? and token = ? and state = 2 returning n
)
select not exists (select 1 from changed)
    and not exists (select 1 from {s}.journal_job where n = ? and token = ? and state <> 2)
"""
PARK_UNKNOWN: Final = """
with changed as (
    update {s}.journal_job set state = 5, error = 'no process of the app knows the function ' || fn
        || ': it was moved, renamed or is not imported'
    where state = 1 and due <= ? and fn not in (
        select name from {s}.journal_holder h, jsonb_object_keys(h.functions) as name) returning 1
) select count(*) from changed
"""
UNPARKED: Final = """
with changed as (
    update {s}.journal_job j set state = 1 from unnest(?::text[], ?::text[]) as g (fn, fingerprint)
    where j.state = 5 and j.fn = g.fn
        and position(' ' || g.fingerprint || ' ' in ' ' || coalesce(j.parked_by, '') || ' ') = 0 returning 1
) select count(*) from changed
"""
TAKEN: Final = f"""
with living as materialized (select n from {{s}}.journal_holder where n = ? for key share), chosen as (
    select n from {{s}}.journal_job where state = 1 and fn = any(?::text[]) order by n limit ?
    for update skip locked
), changed as (
    update {{s}}.journal_job j set state = 6, holder = living.n, token = j.token + 1
    from chosen, living where j.n = chosen.n returning j.*
)
select {COLUMNS} from changed order by n
"""
#: Return the rows that another hand-over has.
MOVED: Final = """
with given as (select * from unnest(?::bigint[], ?::bigint[]) as g (n, token)), changed as (
    delete from {s}.journal_job j using given g where j.n = g.n and j.token = g.token and j.state = 6
    returning j.n
)
select g.n from given g where not exists (select 1 from changed c where c.n = g.n)
"""
PUT_BACK: Final = """
with given as (select * from unnest(?::bigint[], ?::bigint[]) as g (n, token)), changed as (
    update {s}.journal_job j set state = 1, holder = null from given g
    where j.n = g.n and j.token = g.token and j.state = 6 returning j.n
)
select g.n from given g where not exists (select 1 from changed c where c.n = g.n)
"""
RETURNED: Final = """
update {s}.journal_job set state = 1, holder = null where holder = ? and state = 6 returning n
"""
#: A death counts as an attempt; an end that is nobody's fault does not.
REAPED: Final = f"""
update {{s}}.journal_job set
    state = case when ? = 1 and (kills >= {MAX_KILLS - 1} or attempt >= max_attempts) then 4 else 1 end,
    ended = case when ? = 1 and (kills >= {MAX_KILLS - 1} or attempt >= max_attempts) then NOW end,
    error = case when ? = 1 then 'its process ended while it ran: death ' || (kills + 1) || ', attempt '
        || attempt || ' of ' || max_attempts else error end,
    kills = kills + ?, attempt = attempt + ? - 1, due = least(due, NOW), holder = null
where holder = ? and state = 2 returning {COLUMNS}
"""
RECOVERED: Final = """
with changed as (
    update {s}.journal_job set state = 1, due = least(due, NOW), holder = null, attempt = attempt - 1
    where holder = ? and state = 2 and not n = any(?::bigint[]) returning 1
) select count(*) from changed
"""
PUT_RIGHT: Final = """
with changed as (
    update {s}.journal_job set due = NOW where state = 1 and due > NOW and due = created returning 1
) select count(*) from changed
"""
PRUNED: Final = """
with old as (
    select n from {s}.journal_job where state = 3 and ended < ? order by ended limit ?
    for update skip locked
), older as (
    select n from {s}.journal_job where state = 4 and ended < ? order by ended limit ?
    for update skip locked
), changed as (
    delete from {s}.journal_job where n in (
        select n from (select n from old union all select n from older) as both_of limit ?) returning 1
) select count(*) from changed
"""

# Holders.

#: Seconds, in µs, for which a holder that does not renew its lease counts as living.
LEASE: Final = 4_000_000
NEXT_HOLDER: Final = "select nextval(pg_get_serial_sequence('{s}.journal_holder', 'n'))"
REGISTERED: Final = f"""
insert into {{s}}.journal_holder (n, pid, host, boot, functions, started, until, server)
values (?, ?, ?, ?, ?::jsonb, NOW, NOW + {LEASE}, ?)
"""
RENEWED: Final = f"""
update {{s}}.journal_holder set until = NOW + {LEASE}, server = ? where n = any(?::bigint[])
"""
FORSAKEN: Final = "update {s}.journal_holder set drained = 1 where n = ?"
SET_FUNCTIONS: Final = "update {s}.journal_holder set functions = ?::jsonb where n = ? returning n"
LEFT: Final = "delete from {s}.journal_holder where n = ? returning n"
DRAINED: Final = "update {s}.journal_holder set drained = 1 where n = ? returning n"
#: Numbers of locks: a holder's is its own number, modulo this.
LOCKS: Final = 2147483648
#: The holders as `liveness.Holder` has them; the parameter is the class of their locks.
HOLDERS: Final = """
select h.n, h.drained, h.host, h.boot, h.until < NOW, h.server, exists (
        select 1 from pg_locks l where l.locktype = 'advisory' and l.classid = ?::bigint::oid
        and l.objid = mod(h.n, 2147483648)::oid and l.objsubid = 2 and l.granted
        and l.database = (select oid from pg_database where datname = current_database())
    ), NOW, pg_postmaster_start_time()::text
from {s}.journal_holder h
"""
OLDEST_WRITER: Final = "select oldest_writer from {s}.journal_meta"

# Periodic work.

READ_TICK: Final = "select last from {s}.journal_tick where name = ?"
TICKED: Final = """
insert into {s}.journal_tick (name, last) values (?, ?)
on conflict (name) do update set last = excluded.last returning last
"""

# Results. An expired value counts as none until it is pruned.

RESULT: Final = "select codec, body from {s}.journal_result where key = ? and coalesce(expires > NOW, true)"
WRITTEN: Final = """
with changed as (
    insert into {s}.journal_result as r (key, codec, body, expires) values (?, ?, ?, NOW + ?::bigint)
    on conflict (key) do update set codec = excluded.codec, body = excluded.body, expires = excluded.expires
    where not ? or r.expires <= NOW returning 1
) select count(*) = 1 from changed
"""
#: Of keys that begin with a prefix: from it to the first text that sorts behind all of them.
UNDER: Final = "key >= ? and key < ? and coalesce(expires > NOW, true)"
COUNTED: Final = f"select count(*) from {{s}}.journal_result where {UNDER}"
RESULTS: Final = f"select key, codec, body from {{s}}.journal_result where {UNDER} order by key"
RESULTS_DELETED: Final = """
with changed as (delete from {s}.journal_result where key = any(?::text[]) returning 1)
select count(*) from changed
"""
RESULTS_PRUNED: Final = """
with old as (
    select key from {s}.journal_result where expires <= NOW order by expires limit ? for update skip locked
), changed as (delete from {s}.journal_result where key in (select key from old) returning 1)
select count(*) from changed
"""

# For people.

#: A job whose key another one has stays where it is; of several with one key, the first goes.
ACTIONS: Final[dict[Action, str]] = {
    "retry": """
update {s}.journal_job j set state = 1, due = NOW, ended = null, parked_by = null,
    attempt = case when state = 1 then attempt else 0 end, kills = case when state = 1 then kills else 0 end
where (ukey is null or not exists (
    select 1 from {s}.journal_job o where o.ukey = j.ukey and o.n <> j.n
    and (o.state in (1, 2, 5, 6) or (j.state = o.state and o.n < j.n and o.n = any(%(jobs)s::bigint[]))))) and
""",
    "kill": """
update {s}.journal_job j set state = 4, ended = NOW, parked_by = null,
    error = 'killed by hand' || coalesce('; before: ' || error, '')
where
""",
    "delete": "delete from {s}.journal_job j where",
}


def of_set(name: SetName, only: Filter) -> tuple[str, dict[str, Any]]:
    """The condition of the jobs of a set, and its parameters."""
    of = SETS[name]
    parts = [f"state = {of.state.value}"]
    if of.is_due is not None:
        parts.append("due <= NOW" if of.is_due else "due > NOW")
    if of.has_run is not None:
        parts.append("attempt > 0" if of.has_run else "attempt = 0")
    if only.task is not None:
        parts.append("fn = %(task)s")
    if only.queue is not None:
        parts.append("queue = %(queue)s")
    return " and ".join(parts), {"task": only.task, "queue": only.queue}
