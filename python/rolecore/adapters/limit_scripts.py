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

# The first item of what `ASK` returns. After IS_GRANTED come the times at which the first and those behind it were let
# through, in microseconds since 1970, for as many as were; after the others the wait of the first, in microseconds.
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

# For the first of a process, and for those behind it as far as there is room, all of them by turns with the other
# processes. Whoever was let through by an earlier call, and did not hear of it, is told.
ASK = (
    _COMMON
    + """
local left, behind_requests, behind_tokens = limit(ARGV[6]), ARGV[7], ARGV[8]
local before_requests, before_tokens, other_requests, other_tokens, until_us = 0, 0, 0, 0, nil
for _, member in ipairs(redis.call('ZRANGE', queue, 0, -1)) do
  local its_tokens, its_end = read(member)
  if member == id then
    before_requests, before_tokens, until_us = other_requests, other_tokens, its_end
  elseif not its_end or its_end < now then
    leave(member)
  else
    other_requests, other_tokens = other_requests + 1, other_tokens + its_tokens
  end
end
if not until_us then before_requests, before_tokens = other_requests, other_tokens end

local function grant(name, cost, its_requests, its_tokens)
  local at = redis.call('ZSCORE', log, name)
  if at then return tonumber(at) end
  if requests + its_requests + 1 > max_requests or tokens + its_tokens + cost > max_tokens then return nil end
  redis.call('ZADD', log, now, name)
  redis.call('HSET', costs, name, cost)
  redis.call('HINCRBY', costs, '', cost)
  requests, tokens = requests + 1, tokens + cost
  return now
end

local at = grant(id, n, before_requests, before_tokens)
if at then
  local answer = {1, at}
  for i = 9, #ARGV, 2 do
    at = grant(ARGV[i], tonumber(ARGV[i + 1]), other_requests, other_tokens)
    if not at then break end
    answer[#answer + 1] = at
  end
  leave(id)
  keep()
  return answer
end
local wait = wait_for(before_requests, before_tokens)
if wait >= left then
  leave(id)
  return {2, wait}
end
if not until_us or until_us < now + lease / 2 then
  if not until_us then
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
