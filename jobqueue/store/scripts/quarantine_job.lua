-- A job whose record cannot be read: out of queue, slot and history, its record as JSON into quarantine.
-- ARGV: epoch, job id, at
local id = ARGV[2]
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'quarantine_job') end
redis.call('LLEN', 'quarantine')
local r = record(id, 'user', 'entry', 'slot')
local user = r[1] or id:match('^[^_]+') or ''
redis.call('LPUSH', 'quarantine',
  cjson.encode({where = 'job:' .. id, raw = cjson.encode(redis.call('HGETALL', 'job:' .. id)), at = ARGV[3]}))
redis.call('LTRIM', 'quarantine', 0, 9999)
leave_queue(id, user, r[2] or '')
if r[3] then redis.call('HDEL', 'running_jobs', r[3]) end
redis.call('ZREM', 'user_jobs:' .. user, id)
redis.call('ZREM', 'finished_jobs', id)
redis.call('DEL', 'job:' .. id, 'job_timeline:' .. id)
return 1
