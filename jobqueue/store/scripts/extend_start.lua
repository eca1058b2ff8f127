-- What kept an admitted job from starting was not its fault and is over: its start deadline counts from here.
-- ARGV: epoch, job id, at
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'extend_start') end
if record(ARGV[2], 'phase')[1] ~= 'admitted' then return 0 end
redis.call('HSET', 'job:' .. ARGV[2], 'waited_until', ARGV[3])
return 1
