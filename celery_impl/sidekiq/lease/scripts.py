"""The Lua scripts of the leases: each runs alone in the broker, so a job is in one place at any moment.

A queue is a list: producers push on its left, the front is its right end. A holder's jobs are a hash:
the field is the number that the job has among the holder's, the value the queue's key, a line feed and
the message. `leases` is a sorted set of holders, scored by when their lease ends (ms of the server's
clock, unless the caller's first argument is a time). Whatever queues a
job sets its queue's signal.

A broker that is full (noeviction) refuses a command that may need memory, unless the script has written
before: so each begins with one that needs none, or leases would end because somebody queues too much.

A message that is given back is marked at its beginning; nothing else of it is read or changed here.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

from celery_impl.sidekiq.redis.lua_clock import CLOCK_MS
from celery_impl.sidekiq.redis.queue_signal import SIGNAL

#: What a message begins with that was given back.
MARK: Final = '{"redelivered":true,'

# Last first, so that the first ends up in front.
_BACK: Final = f"""
local mark = '{MARK}'
local function back(held, numbers)
    redis.call('HDEL', held, '')
    table.sort(numbers, function(a, b) return tonumber(a) < tonumber(b) end)
    for i = #numbers, 1, -1 do
        local entry = redis.call('HGET', held, numbers[i])
        if entry then
            local cut = string.find(entry, '\\n', 1, true)
            local key, message = string.sub(entry, 1, cut - 1), string.sub(entry, cut + 1)
            if string.sub(message, 1, 2) == '{{"' and string.sub(message, 1, #mark) ~= mark then
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

_FETCH: Final = """
local taken, number, room = {}, tonumber(ARGV[4]), tonumber(ARGV[5])
local entry = redis.call('HGET', KEYS[1], number)
while entry do
    taken[#taken + 1] = entry
    number = number + 1
    entry = redis.call('HGET', KEYS[1], number)
end
if #taken > 0 then return taken end
local paused = {}
for _, name in ipairs(redis.call('SMEMBERS', KEYS[3])) do paused[name] = true end
for i = 4, #KEYS do
    if not paused[ARGV[i + 2]] then
        if room > 0 then
            for _, message in ipairs(redis.call('RPOP', KEYS[i], room) or {}) do
                if #taken == 0 then redis.call('ZADD', KEYS[2], clock() + ARGV[2], ARGV[3]) end
                taken[#taken + 1] = KEYS[i] .. '\\n' .. message
                redis.call('HSET', KEYS[1], number, taken[#taken])
                number, room = number + 1, room - 1
            end
        end
        if room == 0 and redis.call('EXISTS', KEYS[i]) == 1 then signal(KEYS[i]) end
    end
end
return taken
"""

_GIVE_BACK: Final = "return back(KEYS[1], ARGV)"

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

_RENEW: Final = """
local now = clock()
redis.call('ZREM', KEYS[1], '')
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[i]) end
return now
"""

_REAP: Final = """
local now, moved = clock(), 0
if now - ARGV[2] < tonumber(ARGV[4]) or now - ARGV[3] > tonumber(ARGV[5]) then return 0 end
for _, holder in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[6])) do
    local held = ARGV[7] .. holder
    moved = moved + back(held, redis.call('HKEYS', held))
    redis.call('ZREM', KEYS[1], holder)
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
FETCH: Final = Script.of(CLOCK_MS, SIGNAL, _FETCH)
#: Keys: held. Arguments: numbers. Gives these back to the front, in their order.
GIVE_BACK: Final = Script.of(SIGNAL, _BACK, _GIVE_BACK)
#: Keys: held, leases. Arguments: holder, numbers to keep. Gives back the rest; returns 1 where some are kept.
RECOVER: Final = Script.of(SIGNAL, _BACK, _RECOVER)
#: Keys: leases. Arguments: time or '', lease in ms, holders. Returns the time.
RENEW: Final = Script.of(CLOCK_MS, _RENEW)
#: Keys: leases. Arguments: time or '', since when and until when the caller was in touch, lease and longest
#: silence in ms, how many holders at most, what the keys of held begin with. Gives back what holders with an
#: ended lease held and returns how many jobs that were. A caller that was not in touch for a whole lease, or
#: not just now, gives back nothing: after a silence of the broker every lease has ended.
REAP: Final = Script.of(CLOCK_MS, SIGNAL, _BACK, _REAP)
