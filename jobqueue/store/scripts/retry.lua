-- Queue a failed or cancelled job again, at the back, as its next attempt under the same id.
local id, at, max_per_user, max_total, message = unpack(ARGV)
local phase, user, entry = unpack(record(id, 'phase', 'user', 'entry'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase ~= 'failed' and phase ~= 'cancelled' then
  return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' queued')
end
local full = broken_cap(user, max_per_user, max_total)
if full then return full end
redis.call('ZREM', 'finished_jobs', id)
redis.call('HDEL', 'job:' .. id, 'cancel_requested_at', 'exit_code', 'log_tail', 'finished_at',
  'started_at', 'admitted_at', 'node', 'gpu_uuids', 'workflow_uid', 'workflow_name',
  'withdrawn_uid', 'waited_until', 'engine')
redis.call('HINCRBY', 'job:' .. id, 'attempt', 1)
redis.call('HSET', 'job:' .. id, 'requeues', 0, 'breaks', 0, 'queued_at', at)
join_queue(id, user, entry, 'last')
move(id, phase, 'queued', at, {code = 'retried', message = message}, 'api')
return position(id)
