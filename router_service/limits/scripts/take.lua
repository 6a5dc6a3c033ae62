-- Charge all meters or, where one that is enforced has no room, none.
-- KEYS: born, leases, record, done, then a meter each.
-- ARGV: ident, lease (us), note, numbers: per meter kind, amount, cap, span, enforced.
-- Answer: verdict (1 granted, 0 refused, 2 the ident is used up), now (us), born, then per meter: used, reserved, wait.
-- A wait is in us; -1 is never, -2 is now, -3 the end of the period.
local CONCURRENCY_WAIT = 1000000
local ident, lease, note, numbers = ARGV[1], tonumber(ARGV[2]), ARGV[3], split(ARGV[4])
local born = redis.call('GET', KEYS[1]) or ''

if redis.call('EXISTS', KEYS[4]) == 1 then return {2, now, born} end
local again = lease > 0 and redis.call('EXISTS', KEYS[3]) == 1

local answer, refused = {1, now, born}, false
for place = 5, #KEYS do
  local key, base = KEYS[place], 1 + (place - 5) * 5
  local kind, amount, cap = tonumber(numbers[base]), tonumber(numbers[base + 1]), tonumber(numbers[base + 2])
  local span, enforced = tonumber(numbers[base + 3]), numbers[base + 4] == '1'
  local used, reserved, wait = 0, 0, -2
  if kind == 0 then
    local width = math.floor(span / BUCKETS)
    local oldest = math.floor(now / width) - BUCKETS
    local parts, gone = {}, {}
    local stored = redis.call('HGETALL', key)
    for at = 1, #stored, 2 do
      local part, counted = tonumber(stored[at]), tonumber(stored[at + 1])
      if part >= oldest then
        parts[#parts + 1] = {part, counted}
        used = used + counted
      else
        gone[#gone + 1] = stored[at]
      end
    end
    if #gone > 0 then redis.call('HDEL', key, unpack(gone)) end
    if amount > cap then
      wait = -1
    elseif used + amount > cap then
      table.sort(parts, function(one, other) return one[1] < other[1] end)
      local left = used
      wait = -1
      for _, part in ipairs(parts) do
        left = left - part[2]
        if left + amount <= cap then
          wait = (part[1] + 1) * width + span - now
          break
        end
      end
    end
  elseif kind == 1 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
    used = redis.call('ZCARD', key)
    if used + amount > cap then wait = CONCURRENCY_WAIT end
  else
    local number = whole(period(span, now))
    local counts = redis.call('HMGET', key, 's' .. number, 'h' .. number)
    reserved = tonumber(counts[2] or '0')
    used = tonumber(counts[1] or '0') + reserved
    if used + amount > cap or used >= cap then wait = amount > cap and -1 or -3 end
  end
  if enforced and wait ~= -2 then refused = true end
  answer[#answer + 1] = used
  answer[#answer + 1] = reserved
  answer[#answer + 1] = (enforced and not again) and wait or -2
end
if again then return answer end
if refused then
  answer[1] = 0
  return answer
end

for place = 5, #KEYS do
  local key, base = KEYS[place], 1 + (place - 5) * 5
  local kind, amount, span = tonumber(numbers[base]), numbers[base + 1], tonumber(numbers[base + 3])
  if amount ~= '0' then
    if kind == 0 then
      redis.call('HINCRBY', key, whole(math.floor(now / math.floor(span / BUCKETS))), amount)
      keep_window(key, span)
    elseif kind == 1 then
      redis.call('ZADD', key, whole(now + lease), ident)
      keep(key, math.ceil(lease / 1000) + 1000)
    else
      local number = period(span, now)
      if redis.call('HINCRBY', key, 'h' .. whole(number), amount) == tonumber(amount) then
        for _, name in ipairs(redis.call('HKEYS', key)) do
          if tonumber(string.sub(name, 2)) < number - 1 then redis.call('HDEL', key, name) end
        end
      end
      keep_spend(key, span)
    end
  end
end
if lease > 0 then
  redis.call('SET', KEYS[3], whole(now) .. '|' .. note, 'PX', whole(math.ceil(lease / 1000) + 7 * DAY * 1000))
  redis.call('ZADD', KEYS[2], whole(now + lease), ident)
end
return answer
