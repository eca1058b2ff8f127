-- Count one more internal error while handling this job; returns how many since it last ran.
local epoch, id = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'count_break') end
if redis.call('EXISTS', 'job:' .. id) == 0 then return fail('GPUQ_NOT_FOUND', id) end
return redis.call('HINCRBY', 'job:' .. id, 'breaks', 1)
