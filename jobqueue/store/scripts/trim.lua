-- Delete finished jobs that ended before `cutoff` (epoch seconds), and the oldest ones beyond
-- `keep`; at most `limit` in one call. Returns their ids.
local epoch, cutoff, keep, limit = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'trim') end
local surplus = redis.call('ZCARD', 'finished_jobs') - tonumber(keep)
local oldest = redis.call('ZRANGE', 'finished_jobs', 0, tonumber(limit) - 1, 'WITHSCORES')
local deleted = {}
for i = 1, #oldest, 2 do
  local id, finished_at = oldest[i], tonumber(oldest[i + 1])
  if finished_at >= tonumber(cutoff) and #deleted >= surplus then break end
  local user = record(id, 'user')[1]
  if user then redis.call('ZREM', 'user_jobs:' .. user, id) end
  redis.call('DEL', 'job:' .. id, 'job_timeline:' .. id)
  redis.call('ZREM', 'finished_jobs', id)
  deleted[#deleted + 1] = id
end
return deleted
