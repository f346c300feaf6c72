"""The ledger of limits in Valkey, or in a Redis that is there already."""
