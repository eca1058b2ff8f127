-- Write the reasons of jobs; a reason is written only if it is new and the job is still in the
-- phase that it is about. ARGV: epoch, then job id, phase and reason (JSON) of each job.
local epoch = unpack(ARGV, 1, 1)
local reasons = rest(2)
if is_stale(epoch) then return fail('GPUQ_STALE', 'set_reasons') end
local written = 0
for i = 1, #reasons, 3 do
  local id, phase, reason = reasons[i], reasons[i + 1], cjson.decode(reasons[i + 2])
  local is_in, code, message, detail = unpack(record(id, 'phase', 'reason_code', 'reason_message',
    'reason_detail'))
  local is_new = code ~= reason.code or message ~= reason.message
    or (detail or '') ~= reason.detail
  if is_in == phase and is_new then
    write_reason(id, reason)
    written = written + 1
  end
end
return written
