-- Cancel a queued job at once. For an admitted or running job, record the request only: the
-- scheduler stops the workflow and finishes the job. Returns the phase.
local id, at, score, cancelled_message, cancelling_message = unpack(ARGV)
local phase, user, requested_at = unpack(record(id, 'phase', 'user', 'cancel_requested_at'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase == 'queued' then
  redis.call('HSET', 'job:' .. id, 'cancel_requested_at', at)
  finish(id, 'cancelled', at, score, {code = 'cancelled', message = cancelled_message}, 'api')
  return 'cancelled'
end
if (phase == 'admitted' or phase == 'running') and (requested_at or '') == '' then
  redis.call('HSET', 'job:' .. id, 'cancel_requested_at', at)
  move(id, phase, phase, at, {code = 'cancelling', message = cancelling_message}, 'api')
end
return phase
