-- Remove a job whose record cannot be read from queue, slot and history; its record goes to
-- quarantine as JSON.
local epoch, id, at = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'quarantine_job') end
redis.call('LLEN', 'quarantine')
local recorded_user, entry, slot = unpack(record(id, 'user', 'entry', 'slot'))
local user = recorded_user or id:match('^[^_]+') or ''
local raw = cjson.encode(redis.call('HGETALL', 'job:' .. id))
redis.call('LPUSH', 'quarantine', cjson.encode({where = 'job:' .. id, raw = raw, at = at}))
redis.call('LTRIM', 'quarantine', 0, 9999)
leave_queue(id, user, entry or '')
if slot then redis.call('HDEL', 'running_jobs', slot) end
redis.call('ZREM', 'user_jobs:' .. user, id)
redis.call('ZREM', 'finished_jobs', id)
redis.call('DEL', 'job:' .. id, 'job_timeline:' .. id)
return 1
