-- KEYS: the mark, the reservation, and for each budget its account and what is held of it.
if slots_held(KEYS[2]) then
  return {is_new, 1, 0, ''}
end

local function fits(limit, amount, used)
  return limit == 0 or used + math.max(amount, 1) <= limit
end

local function part_of(limit, amount, used)
  return math.min(amount, math.max(0, limit - used))
end

local parts, slots, latest, refuser = {}, {}, -1, ''
for i, budget in ipairs(ask.budgets) do
  local account, held = current(budget, KEYS[1 + 2 * i]), reserved(KEYS[2 + 2 * i])
  local used = {tokens = account.tokens + held.tokens, micro_usd = account.micro_usd + held.micro_usd}
  slots[i] = budget.slot
  if fits(budget.tokens, ask.tokens, used.tokens)
    and fits(budget.micro_usd, ask.micro_usd, used.micro_usd) then
    parts[i] = {ask.tokens, ask.micro_usd}
  elseif held.tokens == 0 and held.micro_usd == 0 and not reached(budget, used, 100) then
    parts[i] = {
      part_of(budget.tokens, ask.tokens, used.tokens),
      part_of(budget.micro_usd, ask.micro_usd, used.micro_usd),
    }
  else
    local again = account.begun > 0 and account.begun + budget.period or now
    if again > latest then
      latest, refuser = again, budget.slot
    end
  end
end
if latest >= 0 then
  return {is_new, 0, latest, refuser}
end
put_reservation(KEYS[2], slots, ask.expiry)
for i, part in ipairs(parts) do
  put_hold(KEYS[2 + 2 * i], ask.message, part[1], part[2], ask.expiry)
end
return {is_new, 1, 0, ''}
