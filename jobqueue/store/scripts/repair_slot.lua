-- A slot of running_jobs that cannot be read: put what its job's record says there, or free it; the text goes to quarantine.
-- ARGV: epoch, slot, the unreadable text, job id that claims the slot or '', at
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'repair_slot') end
redis.call('LLEN', 'quarantine')
if redis.call('HGET', 'running_jobs', ARGV[2]) ~= ARGV[3] then return 0 end
redis.call('LPUSH', 'quarantine', cjson.encode({where = 'running_jobs ' .. ARGV[2], raw = ARGV[3], at = ARGV[5]}))
redis.call('LTRIM', 'quarantine', 0, 9999)
local entry = ARGV[4] ~= '' and record(ARGV[4], 'entry')[1]
if entry then redis.call('HSET', 'running_jobs', ARGV[2], entry) else redis.call('HDEL', 'running_jobs', ARGV[2]) end
return 1
