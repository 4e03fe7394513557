"""The dollar meter: what jobs and endpoints would have cost on AWS, by a dated price table.

prices.py      the table (prices.json), and one's own over it
meters.py      when each billed thing began and ended: a table in the store
reader.py      record events → meters
traffic.py     bytes and model seconds of endpoints, from the counts of invocations
bill.py        meters and traffic → lines → groups (pure)
budget.py      budgets: a limit that tells, and stops jobs
estimate.py    a plan → lines, before anything runs
operations.py  GetCost
"""
