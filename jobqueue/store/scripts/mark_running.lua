-- Its container was seen running. ARGV: epoch, job id, at (when it started), reason message
local id, at = ARGV[2], ARGV[3]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'mark_running') end
local r = record(id, 'phase', 'user', 'cancel_requested_at', 'reason_code', 'reason_message')
local phase = r[1]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(r[2], id)
if phase == 'running' then return 0 end
if not may(phase, 'running') then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' running') end
redis.call('HSET', 'job:' .. id, 'started_at', at, 'breaks', 0)
local code, message = 'running', ARGV[4]
if (r[3] or '') ~= '' then code, message = r[4], r[5] end -- it is being cancelled: that says more
move(id, phase, 'running', at, code, message, 'scheduler')
return 1
