"""The scripts that keep a room's history in Redis: a list of entries, and a hash about it, in the slot of the room's
channel.

Each runs as one step. The hash holds the epoch (``e``), the guard of the epoch (``g``: the run id of the server that
began it), the top (``t``), the number (``n``) and the bytes (``b``) of the entries, when the list expires (``x``), each
sender's last number (``o…``) and how often users were revoked (``r…``). If the two do not match, because one of the
keys was evicted, the server was restarted or a replica was promoted, the history is not continued: the next append
begins a new epoch.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from odac.history.store import KEPT_LONGER, ORIGIN_AGE, ORIGINS

__all__ = ["APPEND", "ERASE", "READ", "REVOKE", "WRITE_RULES", "Script"]


class Script:
    """A script, and the name by which the server knows it once it is loaded."""

    __slots__ = ("name", "source")

    def __init__(self, source: str) -> None:
        self.source = source.encode()
        self.name = sha1(self.source).hexdigest()  # noqa: S324 - it is Redis that names scripts so


_STATE: Final = """
local h, l, ch = KEYS[1], KEYS[2], KEYS[3]
local guard = ARGV[1]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local s = redis.call('HMGET', h, 'e', 'g', 't', 'n', 'x', 'b', 'v')
local len = redis.call('LLEN', l)
local whole = s[1] and s[2] == guard and (len == tonumber(s[4]) or (len == 0 and now >= tonumber(s[5])))
local epoch, top = s[1], tonumber(s[3] or '0')
"""

APPEND: Final = Script(
    _STATE
    + f"""
local size, bytes, ttl, origin = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), 'o' .. ARGV[6]
local first, publish, skip = tonumber(ARGV[7]), ARGV[8], 0
local held, last = 0, false
if whole then
  held = len > 0 and tonumber(s[6]) or 0
  last = redis.call('HGET', h, origin)
  if last then skip = math.max(0, tonumber(string.match(last, '^%d+')) + 1 - first) end
else
  epoch, top, len = ARGV[2], 0, 0
end
local count = #ARGV - 8 - skip
if count <= 0 then return {{epoch, top}} end
if not whole then redis.call('DEL', h, l) end
local time = struct.pack('>I8', now)
local parts = {{struct.pack('>c2c16I8I4', '\\193L', epoch, top + 1, count)}}
for i = 9 + skip, #ARGV do
  local body = ARGV[i]
  redis.call('RPUSH', l, time .. body)
  held = held + #body
  parts[#parts + 1] = time .. struct.pack('>I4', #body)
  parts[#parts + 1] = body
end
top, len = top + count, len + count
for _ = 1, 1000 do
  if len <= 1 then break end
  if len <= size and held <= bytes and struct.unpack('>I8', redis.call('LINDEX', l, 0)) > now - ttl then break end
  held = held - #redis.call('LPOP', l) + 8
  len = len - 1
end
redis.call('HSET', h, 'e', epoch, 'g', guard, 't', top, 'n', len, 'x', now + ttl, 'b', held,
  origin, string.format('%d:%d', first + #ARGV - 9, t[1]))
redis.call('PEXPIREAT', l, now + ttl)
redis.call('PEXPIREAT', h, now + ttl + {int(KEPT_LONGER * 1000)})
if not last and redis.call('HLEN', h) > {7 + ORIGINS} then
  local all = redis.call('HGETALL', h)
  for i = 1, #all, 2 do
    local seen = string.byte(all[i]) == 111 and string.match(all[i + 1], ':(%d+)$')
    if seen and t[1] - seen > {int(ORIGIN_AGE)} then redis.call('HDEL', h, all[i]) end
  end
end
redis.call(publish, ch, table.concat(parts))
return {{epoch, top}}
"""
)

READ: Final = Script(
    _STATE
    + """
if not whole then return {'', 0, 0, {}, {}} end
local after, limit, oldest = tonumber(ARGV[2]), tonumber(ARGV[3]), now - tonumber(ARGV[4])
local dead, alive = 0, len
while dead < alive do
  local middle = math.floor((dead + alive) / 2)
  if struct.unpack('>I8', redis.call('LINDEX', l, middle)) > oldest then alive = middle else dead = middle + 1 end
end
if after < 0 then after = top + after end
local start = math.max(after - (top - len), dead)
local entries = {}
if limit > 0 and start < len then entries = redis.call('LRANGE', l, start, start + limit - 1) end
local revoked = {}
if s[7] then
  local all = redis.call('HGETALL', h)
  for i = 1, #all, 2 do
    if string.byte(all[i]) == 114 then
      revoked[#revoked + 1] = all[i]
      revoked[#revoked + 1] = all[i + 1]
    end
  end
end
return {epoch, top, top - len + dead, entries, revoked, top - len + start + 1}
"""
)

ERASE: Final = Script("""
redis.call('DEL', KEYS[1], KEYS[2])
redis.call(ARGV[1], KEYS[3], struct.pack('>c2c16I8I4', '\\193T', string.rep('\\0', 16), 0, 0))
return 1
""")

REVOKE: Final = Script(
    _STATE
    + """
if not whole then return 0 end
if redis.call('HINCRBY', h, 'r' .. ARGV[2], 1) == 1 and redis.call('HINCRBY', h, 'v', 1) > tonumber(ARGV[4]) then
  redis.call('DEL', h, l)
  epoch, top = string.rep('\\0', 16), 0
end
redis.call(ARGV[3], ch, struct.pack('>c2c16I8I4', '\\193R', epoch, top, 0))
return 1
"""
)

WRITE_RULES: Final = Script("""
local version = tonumber(redis.call('HGET', KEYS[1], 'version') or '0')
if tonumber(ARGV[1]) <= version then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'rules', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
""")
