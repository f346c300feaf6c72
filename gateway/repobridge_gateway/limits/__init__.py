"""How much people may do: limits of rate, budgets, and the ledger that remembers what was used."""
