-- Put job_queue in step with queue_order again. What stands in the list and belongs to no queued job goes to quarantine;
-- what a queued job's record says is put back in its order. ARGV: epoch, at
-- Returns how many entries were put aside and how many queued jobs stand in the list now.
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'repair_queue') end
redis.call('LLEN', 'quarantine')
local entries = redis.call('LRANGE', 'job_queue', 0, -1)
local wanted, belongs, strays = {}, {}, {}
for _, id in ipairs(redis.call('ZRANGE', 'queue_order', 0, -1)) do
  local r = record(id, 'phase', 'entry', 'user')
  if r[1] == 'queued' then
    table.insert(wanted, 1, r[2])
    belongs[r[2]] = true
  else
    strays[#strays + 1] = id
    if r[3] then redis.call('ZREM', 'user_queue:' .. r[3], id) end
  end
end
for _, id in ipairs(strays) do redis.call('ZREM', 'queue_order', id) end
local aside = 0
for _, entry in ipairs(entries) do
  if belongs[entry] then
    belongs[entry] = nil -- a second copy of the same entry is a stray too
  else
    redis.call('LPUSH', 'quarantine', cjson.encode({where = 'job_queue', raw = entry, at = ARGV[2]}))
    aside = aside + 1
  end
end
redis.call('LTRIM', 'quarantine', 0, 999)
redis.call('DEL', 'job_queue')
for i = 1, #wanted do redis.call('RPUSH', 'job_queue', wanted[i]) end
return {aside, #wanted}
