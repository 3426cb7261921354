"""The scripts that Redis runs for a shared limit: each decision is one step.

All keys of a limit hold its name as their hash tag. The sorted set KEYS[1] has when each request was let through, by
its id, in microseconds since 1970. The hash KEYS[2] has the tokens of each, by the same id; their sum under the empty
id; and under "+" by how much the clock has jumped back. The sorted set KEYS[3] has who waits, in the order in which
they came, and the hash KEYS[4] what of each: its tokens, until when it is taken to be alive, and how many requests and
tokens wait behind it in its process. Each process has one in the queue, its first.

Time is the server's, and stands still where its clock jumps back, so that nothing is dated before what was let through
earlier. All keys expire when the newest request's window, and the last waiting one's place, are over.
"""

from __future__ import annotations

# The first item of what `ASK` returns; the second is when it was let through, or the wait, in microseconds.
IS_WAITING, IS_GRANTED, IS_REFUSED = range(3)

_COMMON = """
local log, costs, queue, waiting = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, n = ARGV[1], tonumber(ARGV[2])
local function limit(text) return text == '' and math.huge or tonumber(text) end
local max_requests, max_tokens, period = limit(ARGV[3]), limit(ARGV[4]), tonumber(ARGV[5])
local lease = 5000000  -- who waits keeps its place so long without asking again, as while a server is started anew

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2] + tonumber(redis.call('HGET', costs, '+') or 0)
local newest = redis.call('ZRANGE', log, -1, -1, 'WITHSCORES')[2]
newest = newest and tonumber(newest) or 0
if now < newest then
  redis.call('HINCRBY', costs, '+', newest - now)
  now = newest
end

local function forget(gone)
  if redis.call('ZREM', log, gone) == 1 then
    redis.call('HINCRBY', costs, '', 0 - (redis.call('HGET', costs, gone) or 0))
    redis.call('HDEL', costs, gone)
  end
end

local function leave(gone)
  redis.call('ZREM', queue, gone)
  redis.call('HDEL', waiting, gone)
end

local function keep()
  local left_ms = math.ceil((period + 2 * lease) / 1000)
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, left_ms) end
end

local old = redis.call('ZRANGEBYSCORE', log, '-inf', now - period)
for _, gone in ipairs(old) do forget(gone) end
local requests = redis.call('ZCARD', log)
local tokens = tonumber(redis.call('HGET', costs, '') or 0)

-- When there is room for so many, with all that is before them, if nothing is given back: in microseconds from now.
local function wait_for(before_requests, before_tokens)
  local over_requests = requests + before_requests + 1 - max_requests
  local over_tokens = tokens + before_tokens + n - max_tokens
  local wait = 0
  while over_requests > requests or over_tokens > tokens do
    wait = wait + period
    over_requests, over_tokens = over_requests - max_requests, over_tokens - max_tokens
  end
  local first = 0
  while over_requests > 0 or over_tokens > 0 do
    local part = redis.call('ZRANGE', log, first, first + 99, 'WITHSCORES')
    for i = 1, #part, 2 do
      over_requests = over_requests - 1
      over_tokens = over_tokens - (redis.call('HGET', costs, part[i]) or 0)
      if over_requests <= 0 and over_tokens <= 0 then return wait + tonumber(part[i + 1]) + period - now end
    end
    if #part == 0 then break end
    first = first + 100
  end
  return wait
end

local function read(member)
  local numbers = {}
  for number in string.gmatch(redis.call('HGET', waiting, member) or '', '%S+') do
    numbers[#numbers + 1] = tonumber(number)
  end
  return unpack(numbers)
end
"""

# Also for who asked before, and for who was let through and did not hear of it.
ASK = (
    _COMMON
    + """
local left, behind_requests, behind_tokens = limit(ARGV[6]), ARGV[7], ARGV[8]
local granted = redis.call('ZSCORE', log, id)
if granted then return {1, tonumber(granted)} end

local before_requests, before_tokens, until_us = 0, 0, 0
for _, member in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local its_tokens, its_end = read(member)
  if member == id then
    until_us = its_end or 0
    break
  end
  if not its_end or its_end < now then
    leave(member)
  else
    before_requests, before_tokens = before_requests + 1, before_tokens + its_tokens
  end
end

if requests + before_requests + 1 <= max_requests and tokens + before_tokens + n <= max_tokens then
  redis.call('ZADD', log, now, id)
  redis.call('HSET', costs, id, n)
  redis.call('HINCRBY', costs, '', n)
  leave(id)
  keep()
  return {1, now}
end
local wait = wait_for(before_requests, before_tokens)
if wait >= left then
  leave(id)
  return {2, wait}
end
if until_us < now + lease / 2 then
  if until_us == 0 then
    local last = redis.call('ZRANGE', queue, -1, -1, 'WITHSCORES')[2] or 0
    redis.call('ZADD', queue, last + 1, id)
  end
  local numbers = string.format('%.0f %.0f ', n, now + lease)
  redis.call('HSET', waiting, id, numbers .. behind_requests .. ' ' .. behind_tokens)
  keep()
end
return {0, wait}
"""
)

# Returns how long a request will wait that has so many of its process before it, of whom `id` is the first. Those of
# other processes take turns with them.
LOOK = (
    _COMMON
    + """
local before_requests, before_tokens = tonumber(ARGV[6]), tonumber(ARGV[7])
local own = before_requests
for _, member in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local its_tokens, its_end, behind_requests, behind_tokens = read(member)
  if member ~= id and its_end and its_end >= now then
    local count = math.min(1 + behind_requests, own + 1)
    before_requests = before_requests + count
    before_tokens = before_tokens + math.floor((its_tokens + behind_tokens) * count / (1 + behind_requests))
  end
end
return wait_for(before_requests, before_tokens)
"""
)

SETTLE = (
    _COMMON
    + """
local cost = redis.call('HGET', costs, id)
if cost then
  redis.call('HSET', costs, id, n)
  redis.call('HINCRBY', costs, '', n - cost)
end
return 0
"""
)

CANCEL = (
    _COMMON
    + """
forget(id)
leave(id)
return 0
"""
)
