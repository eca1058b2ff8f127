-- A failed or cancelled job once more, at the back of the queue, as the next attempt under the same id.
-- ARGV: job id, at, cap per user, cap in total, reason message
local id, at = ARGV[1], ARGV[2]
local r = record(id, 'phase', 'user', 'entry')
local phase, user, entry = r[1], r[2], r[3]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase ~= 'failed' and phase ~= 'cancelled' then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' queued') end
local full = broken_cap(user, ARGV[3], ARGV[4])
if full then return full end
redis.call('ZREM', 'finished_jobs', id)
redis.call('HDEL', 'job:' .. id, 'cancel_requested_at', 'exit_code', 'log_tail', 'finished_at', 'started_at',
  'admitted_at', 'node', 'gpu_uuids', 'workflow_uid', 'workflow_name', 'withdrawn_uid', 'waited_until', 'engine')
redis.call('HINCRBY', 'job:' .. id, 'attempt', 1)
redis.call('HSET', 'job:' .. id, 'requeues', 0, 'breaks', 0, 'queued_at', at)
join_queue(id, user, entry, 'last')
move(id, phase, 'queued', at, {code = 'retried', message = ARGV[5]}, 'api')
return position(id)
