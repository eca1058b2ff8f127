-- The workflow of an admitted job is about to be deleted, because another node can take the job: marked before anything
-- is deleted, so that whoever finds it gone knows that it was not deleted by hand. Returns 0 where it is too late.
-- ARGV: epoch, job id, the workflow's uid, at, reason (JSON)
local id = ARGV[2]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'withdraw') end
local r = record(id, 'phase', 'user', 'workflow_uid', 'cancel_requested_at')
if not r[1] then return fail('GPUQ_NOT_FOUND', id) end
check_types(r[2], id)
if r[1] ~= 'admitted' or r[3] ~= ARGV[3] or (r[4] or '') ~= '' then return 0 end
redis.call('HSET', 'job:' .. id, 'withdrawn_uid', ARGV[3])
move(id, 'admitted', 'admitted', ARGV[4], cjson.decode(ARGV[5]), 'scheduler')
return 1
