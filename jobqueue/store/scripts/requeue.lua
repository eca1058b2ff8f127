-- From its slot back to the front of the queue; a job whose cancel was asked for ends as cancelled instead.
-- ARGV: epoch, job id, at, score, attempts more (0|1), requeues more (0|1), breaks more (0|1),
--       nothing was made (0|1), reason (JSON), reason message when cancelled
local id, at, reason = ARGV[2], ARGV[3], cjson.decode(ARGV[9])
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
  finish(id, 'cancelled', at, ARGV[4], {code = 'cancelled', message = ARGV[10]}, 'scheduler')
  return 'cancelled'
end
-- If nothing was made it has waited all along; and if the last try ended with the same code, this one takes its line.
local unmade, line = ARGV[8] == '1', {}
if unmade then
  local ok, decoded = pcall(cjson.decode, redis.call('LINDEX', 'job_timeline:' .. id, -2) or '')
  if ok and type(decoded) == 'table' then line = decoded end
end
leave_slot(id, slot, entry)
redis.call('HDEL', 'job:' .. id, 'node', 'gpu_uuids', 'admitted_at', 'started_at', 'workflow_uid',
  'workflow_name', 'withdrawn_uid', 'waited_until', 'engine')
redis.call('HINCRBY', 'job:' .. id, 'attempt', ARGV[5])
redis.call('HINCRBY', 'job:' .. id, 'requeues', ARGV[6])
redis.call('HINCRBY', 'job:' .. id, 'breaks', ARGV[7])
if not unmade then redis.call('HSET', 'job:' .. id, 'queued_at', at) end
join_queue(id, user, entry, 'first')
if line.to == 'queued' and line.code == reason.code then
  redis.call('LTRIM', 'job_timeline:' .. id, 0, -3) -- this try takes its place
end
move(id, phase, 'queued', at, reason, 'scheduler')
return 'queued'
