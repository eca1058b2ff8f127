-- From its slot back to the front of the queue; a job whose cancel was asked for ends as cancelled instead.
-- ARGV: epoch, job id, at, score, attempts more (0|1), requeues more (0|1), breaks more (0|1),
--       reason code, reason message, reason message when cancelled, nothing was made (0|1)
local id, at = ARGV[2], ARGV[3]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'requeue') end
local r = record(id, 'phase', 'user', 'entry', 'slot', 'cancel_requested_at')
local phase, user, entry, slot = r[1], r[2], r[3], r[4]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase == 'queued' then return 'queued' end
if not may(phase, 'queued') or phase == 'failed' or phase == 'cancelled' then
  return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' queued')
end
if (r[5] or '') ~= '' then
  finish(id, 'cancelled', at, ARGV[4], 'cancelled', ARGV[10], 'scheduler')
  return 'cancelled'
end
-- Where nothing was made it has waited all along; and where the last try ended just so, the timeline says so already.
local unmade, line = ARGV[11] == '1', {}
if unmade then
  local ok, decoded = pcall(cjson.decode, redis.call('LINDEX', 'job_timeline:' .. id, -2) or '')
  if ok and type(decoded) == 'table' then line = decoded end
end
leave_slot(id, slot, entry)
redis.call('HDEL', 'job:' .. id, 'node', 'gpu_uuids', 'admitted_at', 'started_at', 'workflow_uid',
  'workflow_name', 'withdrawn_uid', 'waited_until')
redis.call('HINCRBY', 'job:' .. id, 'attempt', ARGV[5])
redis.call('HINCRBY', 'job:' .. id, 'requeues', ARGV[6])
redis.call('HINCRBY', 'job:' .. id, 'breaks', ARGV[7])
if not unmade then redis.call('HSET', 'job:' .. id, 'queued_at', at) end
join_queue(id, user, entry, 'first')
if line.to == 'queued' and line.code == ARGV[8] and line.message == ARGV[9] then
  redis.call('LTRIM', 'job_timeline:' .. id, 0, -3) -- this try takes its place
end
move(id, phase, 'queued', at, ARGV[8], ARGV[9], 'scheduler')
return 'queued'
