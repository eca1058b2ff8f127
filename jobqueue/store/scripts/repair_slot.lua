-- Repair an unreadable slot of running_jobs: write the entry of the job that claims the slot
-- ('' = none), or free the slot. The unreadable text goes to quarantine.
local epoch, slot, text, claimant, at = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'repair_slot') end
redis.call('LLEN', 'quarantine')
if redis.call('HGET', 'running_jobs', slot) ~= text then return 0 end
redis.call('LPUSH', 'quarantine',
  cjson.encode({where = 'running_jobs ' .. slot, raw = text, at = at}))
redis.call('LTRIM', 'quarantine', 0, 9999)
local entry = claimant ~= '' and record(claimant, 'entry')[1]
if entry then
  redis.call('HSET', 'running_jobs', slot, entry)
else
  redis.call('HDEL', 'running_jobs', slot)
end
return 1
