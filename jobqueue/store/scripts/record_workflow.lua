-- The workflow that was made for this attempt. ARGV: epoch, job id, workflow name, its uid, node, GPU uuids (JSON)
local id = ARGV[2]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'record_workflow') end
local phase = record(id, 'phase')[1]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
if phase ~= 'admitted' and phase ~= 'running' then return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' recorded') end
redis.call('HSET', 'job:' .. id, 'workflow_name', ARGV[3], 'workflow_uid', ARGV[4],
  'node', ARGV[5], 'gpu_uuids', ARGV[6])
return 1
