-- Forget finished jobs older than the cutoff, and the oldest beyond the count, with their records.
-- ARGV: epoch, cutoff (score), how many may stay, how many at most in this call
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'trim') end
local surplus = redis.call('ZCARD', 'finished_jobs') - tonumber(ARGV[3])
local oldest = redis.call('ZRANGE', 'finished_jobs', 0, tonumber(ARGV[4]) - 1, 'WITHSCORES')
local gone = {}
for i = 1, #oldest, 2 do
  local id = oldest[i]
  if tonumber(oldest[i + 1]) >= tonumber(ARGV[2]) and #gone >= surplus then break end
  local user = record(id, 'user')[1]
  if user then redis.call('ZREM', 'user_jobs:' .. user, id) end
  redis.call('DEL', 'job:' .. id, 'job_timeline:' .. id)
  redis.call('ZREM', 'finished_jobs', id)
  gone[#gone + 1] = id
end
return gone
