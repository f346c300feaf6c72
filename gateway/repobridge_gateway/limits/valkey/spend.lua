-- KEYS: the mark, the turn, the day's usage, the reservation, the account of each budget, and what
-- is held of each account in ask.slots.
local slots = slots_held(KEYS[4])
local missing, keys = not_given(slots, 5 + #ask.budgets)
if #missing > 0 then
  return {is_new, missing}
end

local noted = numbers(redis.call('GET', KEYS[2]))
if noted[6] and noted[6] <= now then
  noted = {}
end
local is_first, has_more, added, used = #noted == 0, false, {}, {}
for i, so_far in ipairs(ask.used) do
  added[i] = math.max(0, so_far - (noted[i] or 0))
  used[i] = (noted[i] or 0) + added[i]
  has_more = has_more or added[i] > 0
end
-- Input, output, what was read from a cache, what was written to it, and money.
local tokens, micro_usd = added[1] + added[2] + added[4], added[5]

if is_first or has_more then
  used[6] = ask.turn_expiry
  put(KEYS[2], joined(used), ask.turn_expiry)
  for i, more in ipairs({is_first and 1 or 0, unpack(added)}) do
    redis.call('HINCRBY', KEYS[3], ask.row .. i, text(more))
  end
  redis.call('PEXPIRE', KEYS[3], text(ask.usage_milliseconds))
  for _, slot in ipairs(slots or {}) do
    local hold = numbers(redis.call('HGET', keys[slot], ask.message))
    local left = {math.max(0, (hold[1] or 0) - tokens), math.max(0, (hold[2] or 0) - micro_usd)}
    put_hold(keys[slot], ask.message, left[1], left[2], ask.expiry)
  end
  if slots and #slots > 0 then
    put_reservation(KEYS[4], slots, ask.expiry)
  end
end

local standings = {}
for i, budget in ipairs(ask.budgets) do
  local before = current(budget, KEYS[4 + i])
  local after, crossed = before, {}
  if tokens > 0 or micro_usd > 0 then
    after = {
      begun = before.begun > 0 and before.begun or now,
      tokens = before.tokens + tokens,
      micro_usd = before.micro_usd + micro_usd,
    }
    put_account(budget, KEYS[4 + i], after)
    for _, percent in ipairs(ask.thresholds) do
      if reached(budget, after, percent) and not reached(budget, before, percent) then
        crossed[#crossed + 1] = percent
      end
    end
  end
  standings[i] = {reached(budget, after, 100) and 1 or 0, crossed}
end
return {is_new, {}, added, standings}
