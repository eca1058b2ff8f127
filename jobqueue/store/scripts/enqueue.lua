-- A new job at the back of the queue (the seed's LPUSH job_queue), once per idempotency key.
-- ARGV: user, id stem, entry before and after its job_id, at, score, cap per user, cap in total,
--       idempotency key or '', digest of the body, its TTL (s), reason message, then the record's fields and values
local user, stem, before, after, at, score = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local idempotency, digest = ARGV[9], ARGV[10]
if idempotency ~= '' then
  local seen = redis.call('GET', idempotency)
  if seen then
    local seen_digest, seen_id = seen:match('^(%S+) (%S+)$')
    if seen_digest ~= digest then return fail('GPUQ_IDEMPOTENCY', seen_id or '') end
    return {'existing', seen_id, 0}
  end
end
local full = broken_cap(user, ARGV[7], ARGV[8])
if full then return full end
-- The types of the other keys, as check_types does it; only those, because submissions are what there are most of.
redis.call('LLEN', 'job_queue')
redis.call('ZCARD', 'user_jobs:' .. user)
redis.call('XLEN', 'events')

local id, n = stem, 1
while redis.call('EXISTS', 'job:' .. id) == 1 do
  n = n + 1
  id = stem .. '_' .. n
end
local entry = before .. id .. after
redis.call('HSET', 'job:' .. id, 'job_id', id, 'entry', entry, 'submitted_at', at, 'queued_at', at, 'attempt', 1,
  unpack(ARGV, 13))
join_queue(id, user, entry, 'last')
redis.call('ZADD', 'user_jobs:' .. user, score, id)
if idempotency ~= '' then redis.call('SET', idempotency, digest .. ' ' .. id, 'EX', ARGV[11]) end
move(id, '', 'queued', at, {code = 'submitted', message = ARGV[12]}, 'api')
return {'new', id, position(id)}
