-- Cancelled at once where it is still queued; else only the intent (the scheduler stops the workflow and finishes it).
-- ARGV: job id, at, score, reason message when cancelled, reason message when being cancelled
local id, at = ARGV[1], ARGV[2]
local r = record(id, 'phase', 'user', 'cancel_requested_at')
local phase = r[1]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(r[2], id)
if phase == 'queued' then
  redis.call('HSET', 'job:' .. id, 'cancel_requested_at', at)
  finish(id, 'cancelled', at, ARGV[3], {code = 'cancelled', message = ARGV[4]}, 'api')
  return 'cancelled'
end
if (phase == 'admitted' or phase == 'running') and (r[3] or '') == '' then
  redis.call('HSET', 'job:' .. id, 'cancel_requested_at', at)
  move(id, phase, phase, at, {code = 'cancelling', message = ARGV[5]}, 'api')
end
return phase
