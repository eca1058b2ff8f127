-- The seed's RPOP job_queue, then HSET running_jobs, with nothing in between.
-- ARGV: epoch, job id, at, max running, max running per user, node, GPU uuids (JSON), workflow name, reason message,
--       attempt (the engine's own, if it is ahead of the record), the engine's name
local id, at = ARGV[2], ARGV[3]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'admit') end
local r = record(id, 'phase', 'user', 'entry')
local phase, user, entry = r[1], r[2], r[3]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if not may(phase, 'admitted') then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' admitted') end
if redis.call('HLEN', 'running_jobs') >= tonumber(ARGV[4]) then return fail('GPUQ_NO_SLOT', 'total ' .. ARGV[4]) end
local slot
for n = 1, tonumber(ARGV[5]) do
  local candidate = n == 1 and user or (user .. '#' .. n)
  if redis.call('HEXISTS', 'running_jobs', candidate) == 0 then
    slot = candidate
    break
  end
end
if not slot then return fail('GPUQ_NO_SLOT', 'user ' .. ARGV[5]) end
leave_queue(id, user, entry)
redis.call('HSET', 'running_jobs', slot, entry)
redis.call('HSET', 'job:' .. id, 'slot', slot, 'admitted_at', at, 'node', ARGV[6], 'gpu_uuids', ARGV[7],
  'workflow_name', ARGV[8], 'attempt', ARGV[10], 'engine', ARGV[11])
move(id, phase, 'admitted', at, {code = 'admitted', message = ARGV[9]}, 'scheduler')
return slot
