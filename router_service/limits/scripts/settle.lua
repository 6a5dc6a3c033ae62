-- Settle a batch, once: a batch that was applied but whose answer was lost is sent again under the same number.
-- KEYS: writer, leases, then per settlement: record, done, and a meter each.
-- ARGV: number of the batch, words: per settlement ident, lapsed, meters; and per meter kind, reserved, actual, span.
if tonumber(ARGV[1]) <= tonumber(redis.call('GET', KEYS[1]) or '0') then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'EX', 7 * DAY)

local words = split(ARGV[2])
local key, word = 3, 1
while word <= #words do
  local ident, lapsed, meters = words[word], words[word + 1] == '1', tonumber(words[word + 2])
  local record, done = KEYS[key], KEYS[key + 1]
  key, word = key + 2, word + 3
  local held, at, counts = redis.call('GET', record), now, true
  if held then
    at = tonumber(string.match(held, '^%d+'))
    local expires = redis.call('ZSCORE', KEYS[2], ident)
    if not expires or tonumber(expires) <= now then redis.call('SET', done, '1', 'EX', DAY) end
    redis.call('DEL', record)
    redis.call('ZREM', KEYS[2], ident)
  elseif lapsed or redis.call('EXISTS', done) == 1 then
    counts = false
  else
    -- Taken while this server was away, or forgotten in a restart: what was used counts all the same.
    redis.call('SET', done, '1', 'EX', DAY)
  end
  for _ = 1, meters do
    local name, kind, reserved, actual = KEYS[key], tonumber(words[word]), words[word + 1], words[word + 2]
    local span = tonumber(words[word + 3])
    key, word = key + 1, word + 4
    if kind == 1 then
      redis.call('ZREM', name, ident)
    elseif counts and kind == 0 then
      local part = whole(math.floor(at / math.floor(span / BUCKETS)))
      if not held then
        redis.call('HINCRBY', name, part, actual)
        keep_window(name, span)
      elseif actual ~= reserved and redis.call('HEXISTS', name, part) == 1 then
        redis.call('HINCRBY', name, part, whole(tonumber(actual) - tonumber(reserved)))
      end
    elseif counts then
      local number = whole(period(span, at))
      if held and reserved ~= '0' and redis.call('HINCRBY', name, 'h' .. number, '-' .. reserved) < 0 then
        redis.call('HSET', name, 'h' .. number, '0')
      end
      redis.call('HINCRBY', name, 's' .. number, actual)
      keep_spend(name, span)
    end
  end
end
return 1
