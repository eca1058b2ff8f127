-- Put job_queue and queue_order in step again, after the records. An entry whose record says queued keeps its place, or
-- gets one at the back where queue_order has lost it; what belongs to no queued job goes to quarantine.
-- ARGV: epoch, at. Returns how many entries were put aside and how many queued jobs stand in the list now.
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'repair_queue') end
redis.call('LLEN', 'quarantine')
local entries = redis.call('LRANGE', 'job_queue', 0, -1)
local wanted, belongs, strays, aside, lost = {}, {}, {}, {}, {}

for _, id in ipairs(redis.call('ZRANGE', 'queue_order', 0, -1)) do
  local r = record(id, 'phase', 'entry', 'user')
  if r[1] == 'queued' and r[2] then
    wanted[#wanted + 1] = r[2]
    belongs[r[2]] = true
  else
    strays[#strays + 1] = {id, r[3]}
  end
end

local function queued_id(entry)
  local readable, data = pcall(cjson.decode, entry)
  local id = readable and type(data) == 'table' and data.job_id
  if type(id) ~= 'string' then return nil end
  local r = record(id, 'phase', 'entry', 'user')
  if r[1] == 'queued' and r[2] == entry and r[3] then return id, r[3] end
end

for i = #entries, 1, -1 do -- from the next one out
  local entry = entries[i]
  if belongs[entry] then
    belongs[entry] = nil -- a second copy of the same entry is a stray too
  else
    local id, user = queued_id(entry)
    if id and not redis.call('ZSCORE', 'queue_order', id) and not lost[id] then
      lost[id] = user
      wanted[#wanted + 1] = entry
      lost[#lost + 1] = id
    else
      aside[#aside + 1] = entry
    end
  end
end

for _, stray in ipairs(strays) do
  redis.call('ZREM', 'queue_order', stray[1])
  if stray[2] then redis.call('ZREM', 'user_queue:' .. stray[2], stray[1]) end
end
for _, id in ipairs(lost) do
  local order = new_order('last')
  redis.call('ZADD', 'queue_order', order, id)
  redis.call('ZADD', 'user_queue:' .. lost[id], order, id)
end
for _, entry in ipairs(aside) do
  redis.call('LPUSH', 'quarantine', cjson.encode({where = 'job_queue', raw = entry, at = ARGV[2]}))
end
redis.call('LTRIM', 'quarantine', 0, 9999)
redis.call('DEL', 'job_queue')
for _, entry in ipairs(wanted) do redis.call('LPUSH', 'job_queue', entry) end -- the first ends up next out
return {#aside, #wanted}
