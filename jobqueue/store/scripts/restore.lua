-- Redis had lost this job, and its workflow is still there: the record anew, into a slot or into the history.
-- Returns 0, and changes nothing, where there is a record already.
-- ARGV: epoch, job id, user, config, phase, at, entry, submission's score, finish's score, run time (s) to learn from
--       or '', reason (JSON), then the record's fields and values
local id, user, config, to, at = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'restore') end
check_types(user, id)
check_durations(user, config)
if redis.call('EXISTS', 'job:' .. id) == 1 then return 0 end
redis.call('HSET', 'job:' .. id, unpack(ARGV, 12))
redis.call('ZADD', 'user_jobs:' .. user, ARGV[8], id)
if to == 'admitted' or to == 'running' then
  local slot, n = user, 1 -- it runs, whatever the limits say
  while redis.call('HEXISTS', 'running_jobs', slot) == 1 do
    n = n + 1
    slot = user .. '#' .. n
  end
  redis.call('HSET', 'running_jobs', slot, ARGV[7])
  redis.call('HSET', 'job:' .. id, 'slot', slot)
else
  redis.call('ZADD', 'finished_jobs', ARGV[9], id)
  learn(user, config, to, ARGV[10])
end
move(id, '', to, at, cjson.decode(ARGV[11]), 'scheduler')
return 1
