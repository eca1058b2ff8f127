-- Right before the create: return 1 if the caller still leads and the job is still to be started.
local epoch, id = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'confirm') end
local phase, cancel_requested_at = unpack(record(id, 'phase', 'cancel_requested_at'))
if phase == 'admitted' and (cancel_requested_at or '') == '' then return 1 end
return 0
