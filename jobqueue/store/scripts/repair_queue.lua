-- Bring job_queue and queue_order back in step, according to the records. An entry whose record is
-- queued keeps its place, or gets one at the back if queue_order has lost it; every other entry
-- goes to quarantine. Returns the number of entries quarantined and of jobs queued now.
local epoch, at = unpack(ARGV)
if is_stale(epoch) then return fail('GPUQ_STALE', 'repair_queue') end
redis.call('LLEN', 'quarantine')
local entries = redis.call('LRANGE', 'job_queue', 0, -1)
local wanted, belongs, unqueued, surplus, lost = {}, {}, {}, {}, {}

for _, id in ipairs(redis.call('ZRANGE', 'queue_order', 0, -1)) do
  local phase, entry, user = unpack(record(id, 'phase', 'entry', 'user'))
  if phase == 'queued' and entry then
    wanted[#wanted + 1] = entry
    belongs[entry] = true
  else
    unqueued[#unqueued + 1] = {id = id, user = user}
  end
end

local function queued_id(entry)
  local is_read, data = pcall(cjson.decode, entry)
  local id = is_read and type(data) == 'table' and data.job_id
  if type(id) ~= 'string' then return nil end
  local phase, recorded, user = unpack(record(id, 'phase', 'entry', 'user'))
  if phase == 'queued' and recorded == entry and user then return id, user end
end

for i = #entries, 1, -1 do -- from the next one out
  local entry = entries[i]
  if belongs[entry] then
    belongs[entry] = nil -- a second copy of the entry is quarantined
  else
    local id, user = queued_id(entry)
    if id and not redis.call('ZSCORE', 'queue_order', id) and not lost[id] then
      lost[id] = user
      wanted[#wanted + 1] = entry
      lost[#lost + 1] = id
    else
      surplus[#surplus + 1] = entry
    end
  end
end

for _, each in ipairs(unqueued) do
  redis.call('ZREM', 'queue_order', each.id)
  if each.user then redis.call('ZREM', 'user_queue:' .. each.user, each.id) end
end
for _, id in ipairs(lost) do
  local order = new_order('last')
  redis.call('ZADD', 'queue_order', order, id)
  redis.call('ZADD', 'user_queue:' .. lost[id], order, id)
end
for _, entry in ipairs(surplus) do
  redis.call('LPUSH', 'quarantine',
    cjson.encode({where = 'job_queue', raw = entry, at = at}))
end
redis.call('LTRIM', 'quarantine', 0, 9999)
redis.call('DEL', 'job_queue')
for _, entry in ipairs(wanted) do redis.call('LPUSH', 'job_queue', entry) end -- the first is next
return {#surplus, #wanted}
