-- Handling this job broke the scheduler once more; returns how often since it last ran. ARGV: epoch, job id
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'count_break') end
if redis.call('EXISTS', 'job:' .. ARGV[2]) == 0 then return fail('GPUQ_NOT_FOUND', ARGV[2]) end
return redis.call('HINCRBY', 'job:' .. ARGV[2], 'breaks', 1)
