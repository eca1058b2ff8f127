-- Move a job from its slot back to the front of the queue; a job whose cancel was requested
-- becomes cancelled instead. Returns the phase. `attempts`, `requeues` and `breaks` (0 or 1) are
-- added to the record; `nothing_made` is 1 if no workflow was made; `reason` is JSON.
local epoch, id, at, score, attempts, requeues, breaks, nothing_made, reason,
  cancelled_message = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'requeue') end
local phase, user, entry, slot, cancel_requested_at = unpack(record(id, 'phase', 'user', 'entry',
  'slot', 'cancel_requested_at'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase == 'queued' then return 'queued' end
if not may(phase, 'queued') or phase == 'failed' or phase == 'cancelled' then
  return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' queued')
end
if (cancel_requested_at or '') ~= '' then
  finish(id, 'cancelled', at, score, {code = 'cancelled', message = cancelled_message}, 'scheduler')
  return 'cancelled'
end
local why = cjson.decode(reason)
-- If nothing was made, the job has waited all along; and if the last try ended with the same code,
-- this try replaces the two lines of that one in the timeline.
local is_same_as_last = false
if nothing_made == '1' then
  local is_read, line = pcall(cjson.decode,
    redis.call('LINDEX', 'job_timeline:' .. id, -2) or '')
  is_same_as_last = is_read and type(line) == 'table' and line.to == 'queued'
    and line.code == why.code
end
leave_slot(id, slot, entry)
redis.call('HDEL', 'job:' .. id, 'node', 'gpu_uuids', 'admitted_at', 'started_at', 'workflow_uid',
  'workflow_name', 'withdrawn_uid', 'waited_until', 'engine')
redis.call('HINCRBY', 'job:' .. id, 'attempt', attempts)
redis.call('HINCRBY', 'job:' .. id, 'requeues', requeues)
redis.call('HINCRBY', 'job:' .. id, 'breaks', breaks)
if nothing_made ~= '1' then redis.call('HSET', 'job:' .. id, 'queued_at', at) end
join_queue(id, user, entry, 'first')
if is_same_as_last then redis.call('LTRIM', 'job_timeline:' .. id, 0, -3) end
move(id, phase, 'queued', at, why, 'scheduler')
return 'queued'
