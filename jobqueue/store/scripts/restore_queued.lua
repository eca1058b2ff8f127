-- A queued job of a backup, at the back of the queue. Returns 0, and changes nothing, where the job is known already,
-- unless all that is known is an earlier attempt that has ended: the backup then has what came after it.
-- ARGV: job id, user, at, submission's score, entry, attempt, reason message, then the record's fields and values
local id, user, at = ARGV[1], ARGV[2], ARGV[3]
check_types(user, id)
local r = record(id, 'phase', 'attempt')
local phase = r[1]
local is_later = (phase == 'failed' or phase == 'cancelled') and tonumber(ARGV[6]) > (tonumber(r[2]) or 1)
if redis.call('EXISTS', 'job:' .. id) == 1 and not is_later then return 0 end
redis.call('ZREM', 'finished_jobs', id)
redis.call('DEL', 'job:' .. id)
redis.call('HSET', 'job:' .. id, unpack(ARGV, 8))
redis.call('ZADD', 'user_jobs:' .. user, ARGV[4], id)
join_queue(id, user, ARGV[5], 'last')
move(id, phase or '', 'queued', at, {code = 'restored', message = ARGV[7]}, 'api')
return 1
