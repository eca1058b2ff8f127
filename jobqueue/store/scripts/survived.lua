-- Take back one internal error of the job: its scheduler lost the lead during an admission, but
-- did not crash. The next leader counts an error for it, before or after this. There is no epoch,
-- because the caller no longer leads.
local id = unpack(ARGV)
if redis.call('EXISTS', 'job:' .. id) == 0 then return 0 end
return redis.call('HINCRBY', 'job:' .. id, 'breaks', -1)
