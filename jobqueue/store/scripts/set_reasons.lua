-- Why jobs wait, or what holds an admitted one up; written only where it changed and the phase still fits.
-- ARGV: epoch, then for each job: job id, phase, reason (JSON)
if is_stale(ARGV[1]) then return fail('GPUQ_STALE', 'set_reasons') end
local written = 0
for i = 2, #ARGV, 3 do
  local id, phase, reason = ARGV[i], ARGV[i + 1], cjson.decode(ARGV[i + 2])
  local r = record(id, 'phase', 'reason_code', 'reason_message', 'reason_detail')
  local is_new = r[2] ~= reason.code or r[3] ~= reason.message or (r[4] or '') ~= reason.detail
  if r[1] == phase and is_new then
    write_reason(id, reason)
    written = written + 1
  end
end
return written
