"""The Lua of the locks of unique jobs, each script run alone in the broker; `unique` says what they are for.

A lock is a string: when it ends (ms), a line feed and the id of the job that holds it. A message names its
lock in a header, so that whoever deletes the message can free it in the same step (`RELEASE`).
"""

from __future__ import annotations

from typing import Final

from celery_impl.sidekiq.redis.server_clock import CLOCK_MS

#: What the keys of the locks begin with.
UNIQUE: Final = "sidekiq:unique:"
#: The message's header that names its lock: `<digest>:<job id>`.
HEADER: Final = "sidekiq_unique"

#: A function for other scripts: `read(value)` returns when a lock ends, and the job that holds it.
READ: Final = """
local function read(value)
    local cut = string.find(value, '\\n', 1, true)
    return tonumber(string.sub(value, 1, cut - 1)), string.sub(value, cut + 1)
end
"""

#: Key: lock. Arguments: time or '', job id, ms. Returns the other job that holds it, or nothing: it is taken.
TAKE: Final = f"""{CLOCK_MS}{READ}
local now, ends = clock(), 0
local value = redis.call('GET', KEYS[1])
if value then
    local other, holder = read(value)
    if holder == ARGV[2] then ends = other elseif other > now then return holder end
end
ends = math.max(ends, now + ARGV[3])
local text = string.format('%d', ends) .. '\\n' .. ARGV[2]
redis.call('SET', KEYS[1], text, 'PX', string.format('%d', ends - now))
return false
"""

#: Key: lock. Arguments: '', job id. Returns whether the job held it.
FREE: Final = f"""{READ}
local value = redis.call('GET', KEYS[1])
if not value then return 0 end
local _, holder = read(value)
if holder ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
"""

#: Key: lock. Argument: time or ''. Returns the job that holds it.
HOLDER: Final = f"""{CLOCK_MS}{READ}
local value = redis.call('GET', KEYS[1])
if not value then return false end
local ends, holder = read(value)
if ends <= clock() then return false end
return holder
"""

#: A function for other scripts: `release(prefix, entry)` frees the lock of the message in an entry, and never
#: fails. The header is found as text: in arguments and in a dead job, its quotation marks are escaped.
RELEASE: Final = f"""
local function release(prefix, entry)
    local mark, id = string.match(entry, '"{HEADER}": ?"(%x+):([^"\\\\]+)"')
    if not mark then return end
    local value = redis.pcall('GET', prefix .. '{UNIQUE}' .. mark)
    if type(value) == 'string' and string.match(value, '\\n(.*)$') == id then
        redis.call('DEL', prefix .. '{UNIQUE}' .. mark)
    end
end
"""
