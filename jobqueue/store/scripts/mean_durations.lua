-- Return the mean of each list of run times (seconds), '' if it has none. ARGV: the lists' keys.
local means = {}
for i, key in ipairs(ARGV) do
  local sum, count = 0, 0
  for _, text in ipairs(redis.call('LRANGE', key, 0, -1)) do
    local number = tonumber(text)
    if number and math.abs(number) < math.huge then sum, count = sum + number, count + 1 end
  end
  means[i] = count > 0 and string.format('%.17g', sum / count) or ''
end
return means
