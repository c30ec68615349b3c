"""The Lua that queues many jobs at once: all of a chunk, or none of it.

Each chunk has a marker, a key of its own that ends after MARKER_MS. The script that queues the chunk sets it,
and its value says what came of that. A sender whose answer was lost asks by `FENCE`: that returns the value,
or sets "void", whereupon the chunk's script does nothing should it still arrive. So a lost answer leaves no
doubt, unless the broker stays away.
"""

from __future__ import annotations

from typing import Final

from celery_impl.sidekiq.lease.scripts import Script
from celery_impl.sidekiq.redis.server_clock import CLOCK_MS
from celery_impl.sidekiq.redis.unique_lua import READ

#: What the keys of the markers begin with.
MARKER: Final = "sidekiq:bulk:"
#: Milliseconds for which a marker is there.
MARKER_MS: Final = 60_000
#: What a marker says of a chunk that was not queued and never will be.
VOID: Final = b"void"

_RUNG: Final = """
local function rung()
    if ARGV[3] == '' then redis.call('ZADD', KEYS[3], 0, 1) end
end
"""

_QUEUE: Final = """
if not redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[2]) then return redis.call('GET', KEYS[1]) end
if ARGV[3] == '' then redis.call('LPUSH', KEYS[2], unpack(ARGV, 4))
else for i = 4, #ARGV do redis.call('ZADD', KEYS[2], ARGV[3], ARGV[i]) end end
rung()
return ''
"""

_QUEUE_UNIQUE: Final = """
local known = redis.call('GET', KEYS[1])
if known then return known end
local now, taken = clock(), {}
for i = 6, #ARGV, 3 do
    local lock, id, holder = ARGV[5] .. ARGV[i], ARGV[i + 1], nil
    local value = redis.call('GET', lock)
    if value then
        local ends, other = read(value)
        if ends > now and other ~= id then holder = other end
    end
    if holder then
        taken[#taken + 1] = string.format('%d', (i - 6) / 3) .. ' ' .. holder
    else
        local ends = string.format('%d', now + ARGV[4])
        redis.call('SET', lock, ends .. '\\n' .. id, 'PX', ARGV[4])
        if ARGV[3] == '' then redis.call('LPUSH', KEYS[2], ARGV[i + 2])
        else redis.call('ZADD', KEYS[2], ARGV[3], ARGV[i + 2]) end
    end
end
rung()
local answer = table.concat(taken, '\\n')
redis.call('SET', KEYS[1], answer, 'PX', ARGV[2])
return answer
"""

_FENCE: Final = """
if redis.call('SET', KEYS[1], 'void', 'NX', 'PX', ARGV[1]) then return 'void' end
return redis.call('GET', KEYS[1])
"""

#: Keys: marker, the list of a queue or a sorted set, the queue's signal. Arguments: time or '', ms of the
#: marker, when the jobs are due (s) or '', then messages, or entries of the set. Returns the marker's value.
QUEUE: Final = Script.of(_RUNG, _QUEUE)
#: The same for unique jobs: after the third argument ms of a lock and what locks begin with, then for each
#: job its lock, id and message. The marker's value is a line for each job that was not queued: its number,
#: and the job that holds its lock.
QUEUE_UNIQUE: Final = Script.of(CLOCK_MS, READ, _RUNG, _QUEUE_UNIQUE)
#: Key: marker. Argument: ms of the marker. Returns its value.
FENCE: Final = Script.of(_FENCE)
