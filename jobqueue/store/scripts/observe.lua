-- What this cycle saw: the heartbeat, and what each monitor said.
-- ARGV: epoch, heartbeat (JSON), then node and JSON for each node
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'observe') end
redis.call('HLEN', 'nodes')
redis.call('SET', 'scheduler_heartbeat', ARGV[2])
if #ARGV > 2 then redis.call('DEL', 'nodes') end -- a node that is gone, or was known by its address only, is forgotten
for i = 3, #ARGV, 2 do redis.call('HSET', 'nodes', ARGV[i], ARGV[i + 1]) end
return 1
