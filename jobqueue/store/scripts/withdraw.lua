-- Mark the workflow of an admitted job as withdrawn before it is deleted, so that its absence is
-- not taken for a deletion by a person. Returns 0 if it is too late. `reason` is JSON.
local epoch, id, uid, at, reason = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'withdraw') end
local phase, user, current_uid, cancel_requested_at = unpack(record(id, 'phase', 'user',
  'workflow_uid', 'cancel_requested_at'))
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(user, id)
if phase ~= 'admitted' or current_uid ~= uid or (cancel_requested_at or '') ~= '' then return 0 end
redis.call('HSET', 'job:' .. id, 'withdrawn_uid', uid)
move(id, 'admitted', 'admitted', at, cjson.decode(reason), 'scheduler')
return 1
