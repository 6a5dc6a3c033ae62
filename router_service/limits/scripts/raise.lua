-- Raise what budgets have spent to at least these amounts. KEYS: meters. ARGV per meter: span, period number, nano-USD.
for place = 1, #KEYS do
  local span, number, floor = tonumber(ARGV[place * 3 - 2]), ARGV[place * 3 - 1], ARGV[place * 3]
  if tonumber(redis.call('HGET', KEYS[place], 's' .. number) or '0') < tonumber(floor) then
    redis.call('HSET', KEYS[place], 's' .. number, floor)
    keep_spend(KEYS[place], span)
  end
end
return #KEYS
