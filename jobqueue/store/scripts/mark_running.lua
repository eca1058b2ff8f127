-- Record that the job's container runs since `at`.
local epoch, id, at, message = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'mark_running') end
local phase, user, cancel_requested_at, code, old_message, detail = unpack(record(id, 'phase',
  'user', 'cancel_requested_at', 'reason_code', 'reason_message', 'reason_detail'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase == 'running' then return 0 end
if not may(phase, 'running') then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' running') end
redis.call('HSET', 'job:' .. id, 'started_at', at, 'breaks', 0)
local reason = {code = 'running', message = message}
if (cancel_requested_at or '') ~= '' then -- the cancellation stays the reason
  reason = {code = code, message = old_message, detail = detail}
end
move(id, phase, 'running', at, reason, 'scheduler')
return 1
