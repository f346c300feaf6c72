-- KEYS: the mark, the message's answer, and the state of each limit.
local function take_bucket(limit, state)
  local full_at = math.min(state[1] or 0, now + 2 * limit.filling)
  local after = math.max(full_at, now) + limit.interval
  if after - limit.filling <= now then
    return {numbers = {after}, expiry = after}
  end
  return {numbers = {full_at}, expiry = full_at, again = after - limit.filling}
end

local function seen(limit, state)
  local latest, entries = now + limit.slack, {}
  for i = 1, #state, 2 do
    local at, count = math.min(state[i], latest), state[i + 1]
    if at + limit.length > now then
      local last = entries[#entries]
      if last and (last[1] == at or #entries == limit.most) then
        last[1], last[2] = at, last[2] + count
      else
        entries[#entries + 1] = {at, count}
      end
    end
  end
  return entries
end

local function take_window(limit, state)
  local entries, excess, again = seen(limit, state), 1 - limit.requests, nil
  for _, entry in ipairs(entries) do
    excess = excess + entry[2]
  end
  local last = entries[#entries]
  if excess > 0 then
    for _, entry in ipairs(entries) do
      excess = excess - entry[2]
      if excess <= 0 then
        again = entry[1] + limit.length
        break
      end
    end
  else
    local at = math.max(math.ceil(now / limit.step) * limit.step, last and last[1] or 0)
    if last and last[1] == at then
      last[2] = last[2] + 1
    else
      entries[#entries + 1] = {at, 1}
    end
  end
  local flat = {}
  for _, entry in ipairs(entries) do
    flat[#flat + 1] = entry[1]
    flat[#flat + 1] = entry[2]
  end
  return {numbers = flat, expiry = entries[#entries][1] + limit.length, again = again}
end

local expiry, granted, again, by =
  string.match(redis.call('GET', KEYS[2]) or '', '^(%d+) (%d) (%d+) (.*)$')
if expiry and tonumber(expiry) > now then
  return {is_new, tonumber(granted), tonumber(again), by}
end

local results, latest, refuser = {}, 0, ''
for i, limit in ipairs(ask.limits) do
  local state = numbers(redis.call('GET', KEYS[2 + i]))
  local result = limit.interval and take_bucket(limit, state) or take_window(limit, state)
  results[i] = result
  if result.again and result.again > latest then
    latest, refuser = result.again, limit.slot
  end
end
for i, result in ipairs(results) do
  if latest == 0 or result.again then
    put(KEYS[2 + i], joined(result.numbers), result.expiry)
  end
end
local is_granted = latest == 0 and 1 or 0
put(KEYS[2], joined({ask.expiry, is_granted, latest}) .. ' ' .. refuser, ask.expiry)
return {is_new, is_granted, latest, refuser}
