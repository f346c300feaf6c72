-- What every script begins with. ARGV[1] is what is asked, as JSON; KEYS[1] is the guild's mark.
-- Instants are whole microseconds of the gateway's clock, and amounts whole numbers: all of them
-- stay below 2^53, so that the arithmetic here is exact. It is that of the modules in Python.
local ask = cjson.decode(ARGV[1])
local now = ask.now

-- tostring() would round: it writes 14 digits.
local function text(number)
  return string.format('%.0f', number)
end

local function numbers(value)
  local found = {}
  for number in string.gmatch(value or '', '%S+') do
    found[#found + 1] = tonumber(number)
  end
  return found
end

local function joined(list)
  local texts = {}
  for i, number in ipairs(list) do
    texts[i] = text(number)
  end
  return table.concat(texts, ' ')
end

-- The server's clock only cleans up, and the margin is how far the two may be apart.
local function lasting(expiry)
  return text(math.max(0, math.ceil((expiry - now) / 1000)) + ask.margin)
end

local function put(key, value, expiry)
  redis.call('SET', key, value, 'PX', lasting(expiry))
end

-- A budget's account: when its period began (0: it hasn't), and what was spent since.
local function put_account(budget, key, account)
  put(key, joined({account.begun, account.tokens, account.micro_usd}), account.begun + budget.period)
end

local function current(budget, key)
  local kept = numbers(redis.call('GET', key))
  local begun = kept[1] or 0
  if begun == 0 or begun + budget.period <= now then
    return {begun = 0, tokens = 0, micro_usd = 0}
  end
  local account = {begun = math.min(begun, now + budget.slack), tokens = kept[2], micro_usd = kept[3]}
  if account.begun ~= begun then
    put_account(budget, key, account)
  end
  return account
end

-- What the reservations hold of an account: a hash of message ids to tokens, money and expiry.
local function reserved(key)
  local held = {tokens = 0, micro_usd = 0}
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local hold = numbers(all[i + 1])
    if hold[3] > now then
      held.tokens = held.tokens + hold[1]
      held.micro_usd = held.micro_usd + hold[2]
    else
      redis.call('HDEL', key, all[i])
    end
  end
  return held
end

local function put_hold(key, message, tokens, micro_usd, expiry)
  redis.call('HSET', key, message, joined({tokens, micro_usd, expiry}))
  redis.call('PEXPIRE', key, lasting(expiry))
end

local function reached(budget, spent, percent)
  return (budget.tokens > 0 and spent.tokens * 100 >= budget.tokens * percent)
    or (budget.micro_usd > 0 and spent.micro_usd * 100 >= budget.micro_usd * percent)
end

-- A reservation: its expiry, and a line for each account of which it holds something.
local function slots_held(key)
  local kept = redis.call('GET', key)
  local expiry, rest = string.match(kept or '', '^(%d+)(.*)$')
  if not expiry or tonumber(expiry) <= now then
    return nil
  end
  local slots = {}
  for slot in string.gmatch(rest, '[^\n]+') do
    slots[#slots + 1] = slot
  end
  return slots
end

local function put_reservation(key, slots, expiry)
  put(key, text(expiry) .. '\n' .. table.concat(slots, '\n'), expiry)
end

-- Keys have to be given beforehand: which of the held accounts' are not.
local function not_given(slots, first)
  local keys, missing = {}, {}
  for i, slot in ipairs(ask.slots) do
    keys[slot] = KEYS[first + i - 1]
  end
  for _, slot in ipairs(slots or {}) do
    if not keys[slot] then
      missing[#missing + 1] = slot
    end
  end
  return missing, keys
end

local is_new = redis.call('SET', KEYS[1], ask.mark, 'NX') and 1 or 0
