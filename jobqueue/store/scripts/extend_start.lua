-- Count the start deadline of an admitted job from `at`: the delay until then was not its fault.
local epoch, id, at = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'extend_start') end
if record(id, 'phase')[1] ~= 'admitted' then return 0 end
redis.call('HSET', 'job:' .. id, 'waited_until', at)
return 1
