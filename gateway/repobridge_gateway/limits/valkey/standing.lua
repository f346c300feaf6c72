-- KEYS: the mark, and for each budget its account and what is held of it.
local standings = {}
for i, budget in ipairs(ask.budgets) do
  local account, held = current(budget, KEYS[2 * i]), reserved(KEYS[1 + 2 * i])
  local ends = account.begun > 0 and account.begun + budget.period or 0
  standings[i] = {account.tokens, account.micro_usd, held.tokens, held.micro_usd, ends}
end
return {is_new, standings}
