-- Into a final phase: history, and the seed's HDEL running_jobs. A job that is finished already stays as it is.
-- ARGV: epoch, job id, phase, at, score, reason (JSON), exit code or '', log tail (JSON),
--       run time (s) to learn from or ''
local id, to, reason = ARGV[2], ARGV[3], cjson.decode(ARGV[6])
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'finish') end
local r = record(id, 'phase', 'user', 'config')
local phase, user, config = r[1], r[2], r[3]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase == 'succeeded' or phase == 'failed' or phase == 'cancelled' then return phase end
if not may(phase, to) then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' ' .. to) end
check_durations(user, config)
redis.call('HSET', 'job:' .. id, 'exit_code', ARGV[7], 'log_tail', ARGV[8])
learn(user, config, to, ARGV[9])
finish(id, to, ARGV[4], ARGV[5], reason, 'scheduler')
return to
