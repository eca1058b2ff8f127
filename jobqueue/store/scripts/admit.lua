-- Move a job from the queue into a slot; returns the slot.
-- These are the RPOP and HSET of docs/founding-document.md, as one step.
-- `attempt` is the engine's own number if it is ahead of the record.
local epoch, id, at, max_running, max_per_user, node, gpu_uuids, workflow_name, message, attempt,
  engine = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'admit') end
local phase, user, entry = unpack(record(id, 'phase', 'user', 'entry'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if not may(phase, 'admitted') then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' admitted') end
if redis.call('HLEN', 'running_jobs') >= tonumber(max_running) then
  return fail('GPUQ_NO_SLOT', 'total ' .. max_running)
end
local slot
for n = 1, tonumber(max_per_user) do
  local candidate = n == 1 and user or (user .. '#' .. n)
  if redis.call('HEXISTS', 'running_jobs', candidate) == 0 then
    slot = candidate
    break
  end
end
if not slot then return fail('GPUQ_NO_SLOT', 'user ' .. max_per_user) end
leave_queue(id, user, entry)
redis.call('HSET', 'running_jobs', slot, entry)
redis.call('HSET', 'job:' .. id, 'slot', slot, 'admitted_at', at, 'node', node,
  'gpu_uuids', gpu_uuids, 'workflow_name', workflow_name, 'attempt', attempt, 'engine', engine)
move(id, phase, 'admitted', at, {code = 'admitted', message = message}, 'scheduler')
return slot
