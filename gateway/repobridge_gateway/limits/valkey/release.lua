-- KEYS: the mark, the reservation, and what is held of each account in ask.slots.
local slots = slots_held(KEYS[2])
local missing, keys = not_given(slots, 3)
if #missing > 0 or not slots then
  return {is_new, missing}
end
for _, slot in ipairs(slots) do
  redis.call('HDEL', keys[slot], ask.message)
end
put_reservation(KEYS[2], {}, ask.expiry)
return {is_new, {}}
