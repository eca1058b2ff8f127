-- Why jobs wait, or what holds an admitted one up; written only where it changed and the phase still fits.
-- ARGV: epoch, then for each job: job id, phase, reason code, reason message
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'set_reasons') end
local written = 0
for i = 2, #ARGV, 4 do
  local id, phase, code, message = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local r = record(id, 'phase', 'reason_code', 'reason_message')
  if r[1] == phase and (r[2] ~= code or r[3] ~= message) then
    redis.call('HSET', 'job:' .. id, 'reason_code', code, 'reason_message', message)
    written = written + 1
  end
end
return written
