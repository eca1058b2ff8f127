-- Right before the create: still the leader, and the job still wants to start? ARGV: epoch, job id
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'confirm') end
local r = record(ARGV[2], 'phase', 'cancel_requested_at')
if r[1] == 'admitted' and (r[2] or '') == '' then return 1 end
return 0
