"""The SQL of a journal's rows in SQLite. What each does, and what it is for, `model.operations` says.

Conditions on `state` and `kills` are literals, since a partial index serves no parameter.
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
INSERT: Final = """
insert into journal_job (id, fn, queue, priority, codec, args, ukey, max_attempts, due, created, state,
    holder, token, attempt)
values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing returning n
"""
THERE: Final = """
select n, id from journal_job where id = ?
union all select n, id from journal_job where ukey = ? and state in (1, 2, 5, 6) limit 1
"""
NEXT_PAIR: Final = """
select queue, priority from journal_job where state = 1 and (queue, priority) > (?, ?)
order by queue, priority limit 1
"""
NEXT_DUE: Final = """
select due from journal_job where state = 1 and queue = ? and priority = ? and due > ? order by due limit 1
"""
KEPT: Final = """
update journal_job set state = 3, ended = ?, holder = null where n = ? and token = ? and state = 2
"""
DELETED: Final = "delete from journal_job where n = ? and token = ? and state = 2"
FENCED: Final = "select 1 from journal_job where n = ? and not (token = ? and state = 3)"
FAILED: Final = """
update journal_job set state = case when :due is null or attempt >= max_attempts then 4 else 1 end,
    ended = case when :due is null or attempt >= max_attempts then :now end, due = coalesce(:due, due),
    holder = null, error = :error
where n = :n and token = :token and state = 2
"""
GIVEN_BACK: Final = """
update journal_job set state = 1, due = min(due, ?), holder = null, attempt = attempt - 1
where n = ? and token = ? and state = 2
"""
PARKED: Final = """
update journal_job set state = 5, holder = null, attempt = attempt - 1, error = ?,
    parked_by = trim(coalesce(parked_by, '') || ' ' || ?)
where n = ? and token = ? and state = 2
"""
PARK_UNKNOWN: Final = """
update journal_job set state = 5, error = 'no process of the app knows the function ' || fn
    || ': it was moved, renamed or is not imported'
where state = 1 and due <= ? and fn not in (select value from json_each(?))
"""
UNPARKED: Final = """
update journal_job set state = 1 where state = 5 and fn = ?
    and instr(' ' || coalesce(parked_by, '') || ' ', ' ' || ? || ' ') = 0
"""
TAKEN: Final = f"""
update journal_job set state = 6, holder = ?, token = token + 1 where n in (
    select n from journal_job where state = 1 and fn in (select value from json_each(?)) order by n limit ?)
returning {COLUMNS}
"""
MOVED: Final = "delete from journal_job where n = ? and token = ? and state = 6"
PUT_BACK: Final = """
update journal_job set state = 1, holder = null where n = ? and token = ? and state = 6
"""
RETURNED: Final = "update journal_job set state = 1, holder = null where holder = ? and state = 6"
#: A death counts as an attempt; an end that is nobody's fault does not.
REAPED: Final = f"""
update journal_job set state = case when :blame and (kills >= {MAX_KILLS - 1} or attempt >= max_attempts)
        then 4 else 1 end,
    ended = case when :blame and (kills >= {MAX_KILLS - 1} or attempt >= max_attempts) then :now end,
    error = case when :blame then 'its process ended while it ran: death ' || (kills + 1) || ', attempt '
        || attempt || ' of ' || max_attempts else error end,
    kills = kills + :blame, attempt = attempt + :blame - 1, due = min(due, :now), holder = null
where holder = :holder and state = 2 returning {COLUMNS}
"""
RECOVERED: Final = """
update journal_job set state = 1, due = min(due, ?), holder = null, attempt = attempt - 1
where holder = ? and state = 2 and n not in (select value from json_each(?))
"""
PUT_RIGHT: Final = "update journal_job set due = ? where state = 1 and due > ? and due = created"
PRUNED: Final = """
delete from journal_job where n in (
    select n from (select n from journal_job where state = 3 and ended < ? order by ended limit ?)
    union all select n from (select n from journal_job where state = 4 and ended < ? order by ended limit ?)
    limit ?)
"""
REGISTERED: Final = """
insert into journal_holder (pid, host, boot, functions, started) values (?, ?, ?, ?, ?) returning n
"""
TICKED: Final = """
insert into journal_tick (name, last) values (?, ?) on conflict (name) do update set last = excluded.last
"""
#: An expired value counts as none until it is pruned.
RESULT: Final = "select codec, body from journal_result where key = ? and coalesce(expires > ?, true)"
WRITTEN: Final = """
insert into journal_result (key, codec, body, expires) values (:key, :codec, :body, :expires)
on conflict (key) do update set codec = excluded.codec, body = excluded.body, expires = excluded.expires
where not :only_new or expires <= :now
"""
#: Of keys that begin with a prefix: from it to the first text that sorts behind all of them.
UNDER: Final = "key >= :prefix and key < :behind and coalesce(expires > :now, true)"
COUNTED: Final = f"select count(*) from journal_result where {UNDER}"
RESULTS: Final = f"select key, codec, body from journal_result where {UNDER} order by key"
RESULTS_DELETED: Final = "delete from journal_result where key in (select value from json_each(?))"
RESULTS_PRUNED: Final = """
delete from journal_result where key in (
    select key from journal_result where expires <= ? order by expires limit ?)
"""
ACTIONS: Final[dict[Action, str]] = {
    "retry": """
update or ignore journal_job set state = 1, due = :now, ended = null, parked_by = null,
    attempt = case when state = 1 then attempt else 0 end, kills = case when state = 1 then kills else 0 end
""",
    "kill": """
update journal_job set state = 4, ended = :now, parked_by = null,
    error = 'killed by hand' || coalesce('; before: ' || error, '')
""",
    "delete": "delete from journal_job",
}


def claim(functions: int, *, suspects: bool) -> str:
    """The claim of jobs of so many functions: of those whose process has died often, or of the others."""
    index, kills = ("suspects", ">=") if suspects else ("waiting", "<")
    return f"""
update journal_job set state = 2, holder = ?, token = token + 1, attempt = attempt + 1 where n in (
    select n from journal_job indexed by journal_job_{index}
    where state = 1 and queue = ? and priority = ? and due <= ? and kills {kills} {MAX_KILLS - 1}
    and fn in ({", ".join("?" * functions)}) order by due, n limit ?
) returning {COLUMNS}
"""


def of_set(select: str, name: SetName, now: int, only: Filter) -> tuple[str, dict[str, Any]]:
    """Such a statement about the jobs of a set, to which conditions may be added, and its parameters."""
    of = SETS[name]
    parts = [f"state = {of.state.value}"]
    if of.is_due is not None:
        parts.append("due <= :now" if of.is_due else "due > :now")
    if of.has_run is not None:
        parts.append("attempt > 0" if of.has_run else "attempt = 0")
    if only.task is not None:
        parts.append("fn = :task")
    if only.queue is not None:
        parts.append("queue = :queue")
    where = " and ".join(parts)
    return f"{select} where {where}", {"now": now, "task": only.task, "queue": only.queue}
