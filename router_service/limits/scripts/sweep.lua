-- What lapsed and has a note, which stays; what has none is dropped, for there is nothing to book.
-- KEYS: leases. ARGV: prefix of records, most to look at. Answer: ident, record, ident, record ...
local found = {}
for _, ident in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', whole(now), 'LIMIT', 0, ARGV[2])) do
  local record = redis.call('GET', ARGV[1] .. ident)
  if record and string.sub(record, -1) ~= '|' then
    found[#found + 1] = ident
    found[#found + 1] = record
  else
    redis.call('DEL', ARGV[1] .. ident)
    redis.call('ZREM', KEYS[1], ident)
  end
end
return found
