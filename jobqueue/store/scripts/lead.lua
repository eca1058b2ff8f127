-- Become or stay the leader; a new leader gets an epoch that none had before, not even where Redis was emptied or set
-- back meanwhile: the time in it grows all the same. Returns the epoch, or 0 where another one leads.
-- ARGV: holder, lease (ms)
local leader = redis.call('GET', 'scheduler_leader')
if leader and leader ~= ARGV[1] then return '0' end
if not leader then
  local last = tonumber(redis.call('GET', 'scheduler_epoch')) or 0
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  redis.call('SET', 'scheduler_epoch', string.format('%.0f', math.max(last + 1, now)))
end
redis.call('SET', 'scheduler_leader', ARGV[1], 'PX', ARGV[2])
return redis.call('GET', 'scheduler_epoch')
