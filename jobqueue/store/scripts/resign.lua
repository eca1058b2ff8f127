-- Give up the lead at once, so that a standby need not wait until the lease has run out.
local holder = unpack(ARGV)
if redis.call('GET', 'scheduler_leader') == holder then redis.call('DEL', 'scheduler_leader') end
return 1
