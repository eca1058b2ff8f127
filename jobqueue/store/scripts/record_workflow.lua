-- Record the workflow of this attempt, its node and its GPUs (JSON).
local epoch, id, name, uid, node, gpu_uuids = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'record_workflow') end
local phase = record(id, 'phase')[1]
if not phase then return fail('GPUQ_NOT_FOUND', id) end
if phase ~= 'admitted' and phase ~= 'running' then
  return fail('GPUQ_PHASE', id .. ' ' .. phase .. ' recorded')
end
redis.call('HSET', 'job:' .. id, 'workflow_name', name, 'workflow_uid', uid,
  'node', node, 'gpu_uuids', gpu_uuids)
return 1
