"""The Lua scripts of the leases: each runs alone in the broker, so a job is in one place at any moment.

A queue is a list: producers push on its left, the front is its right end. A holder's jobs are a hash:
the field is the number that the job has among the holder's, the value the queue's key, a line feed and
the message. `leases` is a sorted set of holders, scored by their last sign of life: a number that is another
one at each renewal. It is when the lease would end (ms of the server's clock, unless the caller's first
argument is a time), but nobody compares it with a clock, which may step: see `watch`. Whatever queues a job
sets its queue's signal.

A broker that is full (noeviction) refuses a command that may need memory, unless the script has written
before: so each begins with one that needs none, or leases would end because somebody queues too much.

A message that is given back is marked at its beginning, unless it is known that nobody began to run it;
nothing else of it is read or changed here.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from celery_impl.sidekiq.redis.queue_signal import SIGNAL
from celery_impl.sidekiq.redis.server_clock import CLOCK_MS

#: What a message begins with that was given back.
MARK: Final = '{"redelivered":true,'

# Last first, so that the first ends up in front.
_BACK: Final = f"""
local mark = '{MARK}'
local function back(held, numbers, unmarked)
    redis.call('HDEL', held, '')
    table.sort(numbers, function(a, b) return tonumber(a) < tonumber(b) end)
    for i = #numbers, 1, -1 do
        local entry = redis.call('HGET', held, numbers[i])
        if entry then
            local cut = string.find(entry, '\\n', 1, true)
            local key, message = string.sub(entry, 1, cut - 1), string.sub(entry, cut + 1)
            local marked = unmarked or string.sub(message, 1, #mark) == mark
            if not marked and string.sub(message, 1, 2) == '{{"' then
                message = mark .. string.sub(message, 2)
            end
            redis.call('RPUSH', key, message)
            redis.call('HDEL', held, numbers[i])
            signal(key)
        end
    end
    return #numbers
end
"""

# A sign differs from the one before also where the clock has stepped back by just so much.
_RENEWED: Final = """
local function renewed(leases, holder, sign)
    if tonumber(redis.call('ZSCORE', leases, holder) or '') == sign then sign = sign + 1 end
    redis.call('ZADD', leases, sign, holder)
end
"""

_FETCH: Final = """
local taken, number, room = {}, tonumber(ARGV[4]), tonumber(ARGV[5])
local entry = redis.call('HGET', KEYS[1], number)
while entry do
    taken[#taken + 1] = entry
    number = number + 1
    entry = redis.call('HGET', KEYS[1], number)
end
if #taken > 0 then return taken end
local paused, rung = {}, {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do paused[name] = true end
for i = 4, #KEYS do
    if not paused[ARGV[i + 2]] then
        if room > 0 then
            for _, message in ipairs(redis.call('RPOP', KEYS[i], room) or {}) do
                if #taken == 0 then renewed(KEYS[2], ARGV[3], clock() + ARGV[2]) end
                taken[#taken + 1] = KEYS[i] .. '\\n' .. message
                redis.call('HSET', KEYS[1], number, taken[#taken])
                number, room = number + 1, room - 1
            end
        end
        if room == 0 and not rung[ARGV[i + 2]] and redis.call('EXISTS', KEYS[i]) == 1 then
            rung[ARGV[i + 2]] = true
            signal(KEYS[i])
        end
    end
end
return taken
"""

_GIVE_BACK: Final = "return back(KEYS[1], ARGV)"
_RETURN: Final = "return back(KEYS[1], ARGV, true)"

_RECOVER: Final = """
local kept, numbers = {}, {}
for i = 2, #ARGV do kept[ARGV[i]] = true end
for _, number in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not kept[number] then numbers[#numbers + 1] = number end
end
back(KEYS[1], numbers)
if redis.call('EXISTS', KEYS[1]) == 1 then return 1 end
redis.call('ZREM', KEYS[2], ARGV[1])
return 0
"""

# Who gives no sign comes to stand at the low end, or at the high one where the clock has stepped back.
_RENEW: Final = """
local sign = clock() + ARGV[2]
redis.call('ZREM', KEYS[1], '')
for i = 4, #ARGV do renewed(KEYS[1], ARGV[i], sign) end
local signs = redis.call('ZRANGE', KEYS[1], 0, ARGV[3] - 1, 'WITHSCORES')
for _, part in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[3] - 1, 'WITHSCORES')) do
    signs[#signs + 1] = part
end
return signs
"""

_RENEW_KNOWN: Final = """
local sign = clock() + ARGV[2]
redis.call('ZREM', KEYS[1], '')
for i = 3, #ARGV do
    if redis.call('ZSCORE', KEYS[1], ARGV[i]) then renewed(KEYS[1], ARGV[i], sign) end
end
"""

_REAP: Final = """
local moved = 0
for i = 2, #ARGV, 2 do
    if tonumber(redis.call('ZSCORE', KEYS[1], ARGV[i]) or '') == tonumber(ARGV[i + 1]) then
        local held = ARGV[1] .. ARGV[i]
        moved = moved + back(held, redis.call('HKEYS', held))
        redis.call('ZREM', KEYS[1], ARGV[i])
    end
end
return moved
"""


class Script(NamedTuple):
    """A script's text, and the name by which a broker that has seen it knows it."""

    text: str
    sha: str

    @classmethod
    def of(cls, *parts: str) -> Script:
        """Return a script made of these parts."""
        text = "".join(parts)
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


#: Keys: held, leases, paused, then queues in the order to look. Arguments: time or '', lease in ms, holder,
#: next number, how many at most, then the name of each key's queue. Returns entries of `held`. Entries from
#: the next number on are there already where an answer was lost: they are given again, and nothing else.
FETCH: Final = Script.of(CLOCK_MS, SIGNAL, _RENEWED, _FETCH)
#: Keys: held. Arguments: numbers. Gives these back to the front, in their order.
GIVE_BACK: Final = Script.of(SIGNAL, _BACK, _GIVE_BACK)
#: The same, and leaves no mark on them: they were fetched and never began.
RETURN: Final = Script.of(SIGNAL, _BACK, _RETURN)
#: Keys: held, leases. Arguments: holder, numbers to keep. Gives back the rest; returns 1 where some are kept.
RECOVER: Final = Script.of(SIGNAL, _BACK, _RECOVER)
#: Keys: leases. Arguments: time or '', lease in ms, how many to show of either end, holders. Returns holders
#: and their signs, in turns: those that stand at an end.
RENEW: Final = Script.of(CLOCK_MS, _RENEWED, _RENEW)
#: Keys: leases. Arguments: time or '', lease in ms, holders. Renews those that have not been forgotten.
RENEW_KNOWN: Final = Script.of(CLOCK_MS, _RENEWED, _RENEW_KNOWN)
#: Keys: leases. Arguments: what the keys of held begin with, then holders and the signs that were seen of
#: them last, in turns. Gives back what those of them held that have given none since, and returns how many
#: jobs that were.
REAP: Final = Script.of(SIGNAL, _BACK, _REAP)
