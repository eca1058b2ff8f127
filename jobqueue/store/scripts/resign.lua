-- Give the lead away at once, so that a standby need not wait for the lease to run out. ARGV: holder
if redis.call('GET', 'scheduler_leader') == ARGV[1] then redis.call('DEL', 'scheduler_leader') end
return 1
