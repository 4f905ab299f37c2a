"""Which body of `keen` for which budget: time of many shapes, then equal short training of those near the budgets."""
