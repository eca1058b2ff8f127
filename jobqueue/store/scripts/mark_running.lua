-- Its container was seen running. ARGV: epoch, job id, at (when it started), reason message
local id, at = ARGV[2], ARGV[3]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'mark_running') end
local r = record(id, 'phase', 'user', 'cancel_requested_at', 'reason_code', 'reason_message', 'reason_detail')
local phase = r[1]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
check_types(r[2], id)
if phase == 'running' then return 0 end
if not may(phase, 'running') then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' running') end
redis.call('HSET', 'job:' .. id, 'started_at', at, 'breaks', 0)
local reason = {code = 'running', message = ARGV[4]}
if (r[3] or '') ~= '' then reason = {code = r[4], message = r[5], detail = r[6]} end -- it is being cancelled: that says more
move(id, phase, 'running', at, reason, 'scheduler')
return 1
