-- An admission that lost the lead did not break its scheduler: the next leader counts a break for it, or did already.
-- No epoch: whoever lost the lead says so. ARGV: job id
if redis.call('EXISTS', 'job:' .. ARGV[1]) == 0 then return 0 end
return redis.call('HINCRBY', 'job:' .. ARGV[1], 'breaks', -1)
