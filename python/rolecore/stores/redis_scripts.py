"""The scripts that Redis runs for a store, each in one step.

Of a session, the hash KEYS[1] has the fields `v` (version), `c` and `u` (when created and updated, in microseconds
since 1970), one for each message, named by its place from 1, and one for each batch, `t` and its token, with the
version after it.

Of a tenant, the hash KEYS[2] has the bytes of each session by its id, and their sum under the empty id, which no
session has; the sorted set KEYS[3] has when each session ends that does, in milliseconds. They are an index: listing a
tenant by SCAN would cost as much as all tenants hold, and could miss or repeat what changes meanwhile.

Redis drops the hash of an ended session by itself, and its place in the index is taken out by whoever comes next.
"""

from __future__ import annotations

# The first item of what `APPEND` returns; the second is the version, the version found, or the bytes needed.
IS_DONE, IS_CONFLICT, IS_OVER_QUOTA = range(3)

_COMMON = """
local ids, ends, id = KEYS[#KEYS - 1], KEYS[#KEYS], ARGV[1]
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]

local function forget(gone)
  local size = redis.call('HGET', ids, gone)
  if size then
    redis.call('HDEL', ids, gone)
    redis.call('HINCRBY', ids, '', -size)
    if redis.call('HLEN', ids) == 1 then redis.call('DEL', ids) end
  end
  redis.call('ZREM', ends, gone)
end

local function forget_ended(limit)
  local ended = redis.call('ZRANGEBYSCORE', ends, '-inf', now_us / 1000, 'LIMIT', 0, limit)
  for _, gone in ipairs(ended) do forget(gone) end
  return #ended
end

local function find()
  local at = redis.call('ZSCORE', ends, id)
  if at and tonumber(at) <= now_us / 1000 then redis.call('DEL', KEYS[1]) end
  if redis.call('EXISTS', KEYS[1]) == 1 then return true end
  forget(id)
  return false
end
"""

APPEND = (
    _COMMON
    + """
local token, expected, quota = 't' .. ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local version, updated_us = 0, now_us
if find() then
  local done = redis.call('HGET', KEYS[1], token)
  if done then return {0, tonumber(done)} end
  version = tonumber(redis.call('HGET', KEYS[1], 'v'))
  updated_us = math.max(now_us, tonumber(redis.call('HGET', KEYS[1], 'u')))
end
if expected >= 0 and expected ~= version then return {1, version} end

local size = 0
for i = 5, #ARGV do size = size + #ARGV[i] end
if quota < 0 then
  forget_ended(10)
else
  while forget_ended(1000) > 0 do end
  local needed = tonumber(redis.call('HGET', ids, '') or 0) + size
  if needed > quota then return {2, needed} end
end

if version == 0 then redis.call('HSET', KEYS[1], 'c', now_us) end
for i = 5, #ARGV do
  version = version + 1
  redis.call('HSET', KEYS[1], version, ARGV[i])
end
redis.call('HSET', KEYS[1], 'v', version, 'u', updated_us, token, version)
redis.call('HINCRBY', ids, id, size)
redis.call('HINCRBY', ids, '', size)
return {0, version}
"""
)

DELETE = (
    _COMMON
    + """
if not find() then return 0 end
redis.call('UNLINK', KEYS[1])
forget(id)
return 1
"""
)

EXPIRE = (
    _COMMON
    + """
local left_ms = tonumber(ARGV[2])
if not find() then return 0 end
if left_ms == 0 then
  redis.call('UNLINK', KEYS[1])
  forget(id)
elseif left_ms < 0 then
  redis.call('PERSIST', KEYS[1])
  redis.call('ZREM', ends, id)
else
  local at_ms = math.ceil(now_us / 1000) + left_ms
  redis.call('PEXPIREAT', KEYS[1], at_ms)
  redis.call('ZADD', ends, at_ms, id)
end
return 1
"""
)

# Returns the ids, the empty one among them, and the sum of their bytes.
LOOK = (
    _COMMON
    + """
while forget_ended(1000) > 0 do end
return {redis.call('HKEYS', ids), tonumber(redis.call('HGET', ids, '') or 0)}
"""
)
