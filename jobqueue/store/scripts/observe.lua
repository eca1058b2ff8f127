-- Write the heartbeat and the answers of the monitors, both as JSON.
-- The nodes follow the named arguments: name, answer, name, answer, …
local epoch, heartbeat = unpack(ARGV, 1, 2)
local nodes = rest(3)
if is_stale(epoch) then return fail('GPUQ_STALE', 'observe') end
redis.call('HLEN', 'nodes')
redis.call('SET', 'scheduler_heartbeat', heartbeat)
if #nodes > 0 then redis.call('DEL', 'nodes') end -- forget nodes that no longer exist
for i = 1, #nodes, 2 do redis.call('HSET', 'nodes', nodes[i], nodes[i + 1]) end
return 1
