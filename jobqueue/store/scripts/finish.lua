-- Move a job into a final phase and free its slot (the HDEL of docs/founding-document.md).
-- A job that is finished already keeps its phase, which is returned. `reason` and `log_tail` are
-- JSON; `exit_code` and `run_time` (seconds, for the estimates) may be ''.
local epoch, id, to, at, score, reason, exit_code, log_tail, run_time = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'finish') end
local phase, user, config = unpack(record(id, 'phase', 'user', 'config'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase == 'succeeded' or phase == 'failed' or phase == 'cancelled' then return phase end
if not may(phase, to) then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' ' .. to) end
check_durations(user, config)
local why = cjson.decode(reason)
redis.call('HSET', 'job:' .. id, 'exit_code', exit_code, 'log_tail', log_tail)
learn(user, config, to, run_time)
finish(id, to, at, score, why, 'scheduler')
return to
