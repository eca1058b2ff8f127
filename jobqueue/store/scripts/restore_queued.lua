-- Put a queued job of a backup at the back of the queue. Returns 0, and changes nothing, if the
-- job is known already; but a failed or cancelled earlier attempt is replaced by the later one of
-- the backup. The record's fields and values follow the named arguments.
local id, user, at, score, entry, attempt, message = unpack(ARGV, 1, 7)
local fields = rest(8)
check_types(user, id)
local phase, known_attempt = unpack(record(id, 'phase', 'attempt'))
local has_ended = phase == 'failed' or phase == 'cancelled'
local is_later = has_ended and tonumber(attempt) > (tonumber(known_attempt) or 1)
if redis.call('EXISTS', 'job:' .. id) == 1 and not is_later then return 0 end
redis.call('ZREM', 'finished_jobs', id)
redis.call('DEL', 'job:' .. id)
redis.call('HSET', 'job:' .. id, unpack(fields))
redis.call('ZADD', 'user_jobs:' .. user, score, id)
join_queue(id, user, entry, 'last')
move(id, phase or '', 'queued', at, {code = 'restored', message = message}, 'api')
return 1
