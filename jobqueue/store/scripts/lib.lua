-- These functions precede every script (connection.py), after the table TRANSITIONS, which is made
-- from phase.py. The keys are described in keys.py. A script validates first and writes last:
-- nothing runs beside it, but Redis rolls nothing back. Each names its ARGV in its first statement.
-- A refusal is an error reply that begins with GPUQ_…; redis_errors.py makes exceptions of them.

local function fail(code, detail)
  return redis.error_reply(code .. ' ' .. detail)
end

-- Return the arguments from number `first` on: a list of any length behind the named ones.
local function rest(first)
  local found = {}
  for i = first, #ARGV do found[#found + 1] = ARGV[i] end
  return found
end

local function is_stale(epoch)
  return redis.call('GET', 'scheduler_epoch') ~= epoch
end

local function record(id, ...)
  return redis.call('HMGET', 'job:' .. id, ...)
end

local function may(from, to)
  return TRANSITIONS[from] ~= nil and TRANSITIONS[from][to] == true
end

-- Fail before anything is written if a key has the wrong type: LLEN etc. answer WRONGTYPE then.
local function check_types(user, id)
  redis.call('LLEN', 'job_timeline:' .. id)
  redis.call('LLEN', 'job_queue')
  redis.call('ZCARD', 'queue_order')
  redis.call('ZCARD', 'user_queue:' .. user)
  redis.call('ZCARD', 'user_jobs:' .. user)
  redis.call('XLEN', 'events')
  redis.call('HLEN', 'running_jobs')
  redis.call('ZCARD', 'finished_jobs')
  redis.call('HLEN', 'finished_counts')
end

-- `by` (api or scheduler) is who caused the event, so that the scheduler does not wake itself.
local function publish(id, from, to, code, at, by)
  redis.call('XADD', 'events', 'MAXLEN', '~', '10000', '*',
    'job_id', id, 'from', from, 'to', to, 'code', code, 'at', at, 'by', by)
end

-- `reason` is a table {code, message, detail}, and arrives as JSON.
local function write_reason(id, reason)
  redis.call('HSET', 'job:' .. id, 'reason_code', reason.code, 'reason_message', reason.message,
    'reason_detail', reason.detail or '')
end

local function move(id, from, to, at, reason, by)
  redis.call('HSET', 'job:' .. id, 'phase', to)
  write_reason(id, reason)
  local length = redis.call('RPUSH', 'job_timeline:' .. id,
    cjson.encode({at = at, from = from, to = to, code = reason.code, message = reason.message,
      detail = reason.detail or ''}))
  if length > 100 then redis.call('LTRIM', 'job_timeline:' .. id, -100, -1) end
  publish(id, from, to, reason.code, at, by)
end

-- Return the dispatch order of a job that joins at the back ('last') or the front ('first').
local function new_order(place)
  local command, step = 'ZREVRANGE', 1
  if place == 'first' then command, step = 'ZRANGE', -1 end
  local edge = redis.call(command, 'queue_order', 0, 0, 'WITHSCORES')
  return (tonumber(edge[2]) or 0) + step
end

local function join_queue(id, user, entry, place)
  local order = new_order(place)
  redis.call(place == 'first' and 'RPUSH' or 'LPUSH', 'job_queue', entry)
  redis.call('ZADD', 'queue_order', order, id)
  redis.call('ZADD', 'user_queue:' .. user, order, id)
end

local function leave_queue(id, user, entry)
  redis.call('LREM', 'job_queue', -1, entry)
  redis.call('ZREM', 'queue_order', id)
  redis.call('ZREM', 'user_queue:' .. user, id)
end

-- Free the slot of the job; if its record has lost the slot's name, search for it.
local function leave_slot(id, slot, entry)
  if slot and slot ~= '' then
    redis.call('HDEL', 'running_jobs', slot)
  else
    local all = redis.call('HGETALL', 'running_jobs')
    for i = 1, #all, 2 do
      if all[i + 1] == entry then redis.call('HDEL', 'running_jobs', all[i]) end
    end
  end
  redis.call('HDEL', 'job:' .. id, 'slot')
end

local function position(id)
  return redis.call('ZRANK', 'queue_order', id) + 1
end

-- Return the refusal if one more queued job of this user breaks a cap, otherwise nil.
local function broken_cap(user, max_per_user, max_total)
  if redis.call('ZCARD', 'user_queue:' .. user) >= tonumber(max_per_user) then
    return fail('GPUQ_QUEUE_FULL', 'user ' .. max_per_user)
  end
  if redis.call('ZCARD', 'queue_order') >= tonumber(max_total) then
    return fail('GPUQ_QUEUE_FULL', 'total ' .. max_total)
  end
end

local function durations(user, config)
  return {'durations:' .. user .. ':' .. config, 'durations::' .. config, 'durations'}
end

local function check_durations(user, config)
  for _, key in ipairs(durations(user, config)) do redis.call('LLEN', key) end
end

-- Keep the run time (seconds; '' = unknown) of a whole training for the estimates.
local function learn(user, config, phase, run_time)
  if phase ~= 'succeeded' or run_time == '' then return end
  for _, key in ipairs(durations(user, config)) do
    redis.call('LPUSH', key, run_time)
    redis.call('LTRIM', key, 0, 49)
  end
end

-- Move a job from any phase into a final one: out of queue or slot, into the history.
local function finish(id, to, at, score, reason, by)
  local from, user, entry, slot = unpack(record(id, 'phase', 'user', 'entry', 'slot'))
  if from == 'queued' then leave_queue(id, user, entry) else leave_slot(id, slot, entry) end
  redis.call('HSET', 'job:' .. id, 'finished_at', at)
  redis.call('ZADD', 'finished_jobs', score, id)
  redis.call('HINCRBY', 'finished_counts', to, 1)
  move(id, from, to, at, reason, by)
end
