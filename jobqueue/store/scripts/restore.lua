-- Write the record of a job that Redis has lost while its workflow still exists, into a slot or
-- into the history. Returns 0, and changes nothing, if there is a record already. `reason` is JSON;
-- `run_time` (seconds, for the estimates) may be ''. The record's fields and values follow.
local epoch, id, user, config, to, at, entry, submitted_score, finished_score, run_time,
  reason = unpack(ARGV, 1, 11)
local fields = rest(12)
if is_stale(epoch) then return fail('GPUQ_STALE', 'restore') end
check_types(user, id)
check_durations(user, config)
local why = cjson.decode(reason)
if redis.call('EXISTS', 'job:' .. id) == 1 then return 0 end
redis.call('HSET', 'job:' .. id, unpack(fields))
redis.call('ZADD', 'user_jobs:' .. user, submitted_score, id)
if to == 'admitted' or to == 'running' then
  local slot, n = user, 1 -- the job runs already, so no limit applies
  while redis.call('HEXISTS', 'running_jobs', slot) == 1 do
    n = n + 1
    slot = user .. '#' .. n
  end
  redis.call('HSET', 'running_jobs', slot, entry)
  redis.call('HSET', 'job:' .. id, 'slot', slot)
else
  redis.call('ZADD', 'finished_jobs', finished_score, id)
  learn(user, config, to, run_time)
end
move(id, '', to, at, why, 'scheduler')
return 1
