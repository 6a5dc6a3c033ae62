-- What every script begins with: the server's time, and the calendar of budgets.
local BUCKETS, DAY = 30, 86400
local KEPT = {3 * 3600, 3 * DAY, 70 * DAY, 0} -- seconds that a period's counts are kept: hour, day, month, total

-- Never let Lua write a large number by itself: it keeps 14 digits.
local function whole(number) return string.format('%.0f', number) end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])

-- Expiry only clears away what no count needs any more; it never decides what counts.
local function keep(key, milliseconds)
  if redis.call('PTTL', key) < milliseconds then redis.call('PEXPIRE', key, whole(milliseconds)) end
end

local function keep_window(key, span) keep(key, math.ceil(span / 1000 * 1.1) + 1000) end

local function keep_spend(key, code)
  if KEPT[code + 1] > 0 then redis.call('EXPIRE', key, KEPT[code + 1]) end
end

-- The numbers of all meters come in one text: a client takes longer to send fifty arguments than a server to split one.
local function split(text)
  local words = {}
  for word in string.gmatch(text, '%S+') do words[#words + 1] = word end
  return words
end

local function period(code, at)
  local seconds = math.floor(at / 1000000)
  if code == 0 then return math.floor(seconds / 3600) end
  if code == 1 then return math.floor(seconds / DAY) end
  if code == 3 then return 0 end
  -- The month of a day since 1970, counted in Gregorian years that begin in March.
  local days = math.floor(seconds / DAY) + 719468
  local era = math.floor(days / 146097)
  local day_of_era = days - era * 146097
  local year_of_era = math.floor((day_of_era - math.floor(day_of_era / 1460) + math.floor(day_of_era / 36524)
    - math.floor(day_of_era / 146096)) / 365)
  local day_of_year = day_of_era - (365 * year_of_era + math.floor(year_of_era / 4) - math.floor(year_of_era / 100))
  local shifted = math.floor((5 * day_of_year + 2) / 153)
  local month = shifted < 10 and shifted + 3 or shifted - 9
  local year = year_of_era + era * 400 + (month <= 2 and 1 or 0)
  return year * 12 + month - 1
end

