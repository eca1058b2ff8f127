-- Become or stay the leader; returns the epoch, or '0' while another scheduler leads.
-- A new leader gets an epoch that was never used before, even if Redis was emptied or restored
-- from an old file in between: the epoch contains the time.
local holder, lease_ms = unpack(ARGV)
local leader = redis.call('GET', 'scheduler_leader')
if leader and leader ~= holder then return '0' end
if not leader then
  local last = tonumber(redis.call('GET', 'scheduler_epoch')) or 0
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  redis.call('SET', 'scheduler_epoch', string.format('%.0f', math.max(last + 1, now)))
end
redis.call('SET', 'scheduler_leader', holder, 'PX', lease_ms)
return redis.call('GET', 'scheduler_epoch')
