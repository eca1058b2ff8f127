-- Add an access token, unless its user has as many valid ones as allowed. Counting and writing are
-- one step. Expired tokens of the user are deleted. Times are RFC 3339 of one width
-- (jobqueue/tokens.py), so they compare as texts.
local user, digest, token_record, now, limit = unpack(ARGV)
local live, expired = 0, {}
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
if live >= tonumber(limit) then return fail('GPUQ_TOKENS', user .. ' ' .. limit) end
for _, expired_digest in ipairs(expired) do redis.call('HDEL', 'tokens', expired_digest) end
redis.call('HSET', 'tokens', digest, token_record)
return 1
