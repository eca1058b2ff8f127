-- Become or stay the leader; a new leader gets the next epoch. Returns the epoch, or 0 where another one leads.
-- ARGV: holder, lease (ms)
local leader = redis.call('GET', 'scheduler_leader')
if leader and leader ~= ARGV[1] then return '0' end
if not leader then redis.call('INCR', 'scheduler_epoch') end
redis.call('SET', 'scheduler_leader', ARGV[1], 'PX', ARGV[2])
return redis.call('GET', 'scheduler_epoch')
