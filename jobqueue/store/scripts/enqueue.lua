-- Add a new job at the back of the queue, once per idempotency key ('' = none).
-- This is the LPUSH of docs/founding-document.md. The entry comes in two parts, because the job id
-- between them is made unique here. The record's fields and values follow the named arguments.
local user, stem, before, after, at, score, max_per_user, max_total, idempotency, digest, ttl_s,
  message = unpack(ARGV, 1, 12)
local fields = rest(13)
if idempotency ~= '' then
  local seen = redis.call('GET', idempotency)
  if seen then
    local seen_digest, seen_id = seen:match('^(%S+) (%S+)$')
    if seen_digest ~= digest then return fail('GPUQ_IDEMPOTENCY', seen_id or '') end
    return {'existing', seen_id, 0}
  end
end
local full = broken_cap(user, max_per_user, max_total)
if full then return full end
-- Check the types of the other keys as check_types does, but only of those that are written here:
-- no call is more frequent than this one.
redis.call('LLEN', 'job_queue')
redis.call('ZCARD', 'user_jobs:' .. user)
redis.call('XLEN', 'events')

local id, n = stem, 1
while redis.call('EXISTS', 'job:' .. id) == 1 do
  n = n + 1
  id = stem .. '_' .. n
end
local entry = before .. id .. after
redis.call('HSET', 'job:' .. id, 'job_id', id, 'entry', entry, 'submitted_at', at,
  'queued_at', at, 'attempt', 1, unpack(fields))
join_queue(id, user, entry, 'last')
redis.call('ZADD', 'user_jobs:' .. user, score, id)
if idempotency ~= '' then redis.call('SET', idempotency, digest .. ' ' .. id, 'EX', ttl_s) end
move(id, '', 'queued', at, {code = 'submitted', message = message}, 'api')
return {'new', id, position(id)}
