-- One more token of a user, unless she has as many as she may: between the count and the write nobody else comes.
-- Her expired ones go. Times are RFC 3339 of one width (tokens.py), so they compare as texts.
-- ARGV: user, digest, record, now, how many live ones she may have
local user, now, live, expired = ARGV[1], ARGV[4], 0, {}
local entries = redis.call('HGETALL', 'tokens')
for i = 1, #entries, 2 do
  local is_read, token = pcall(cjson.decode, entries[i + 1])
  if is_read and type(token) == 'table' and token.user == user then
    if type(token.expires_at) == 'string' and token.expires_at <= now then
      expired[#expired + 1] = entries[i]
    else
      live = live + 1
    end
  end
end
if live >= tonumber(ARGV[5]) then return fail('GPUQ_TOKENS', user .. ' ' .. ARGV[5]) end
for _, digest in ipairs(expired) do redis.call('HDEL', 'tokens', digest) end
redis.call('HSET', 'tokens', ARGV[2], ARGV[3])
return 1
