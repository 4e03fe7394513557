"""What every service stands on: clock, records, store, engine, errors. Knows no AWS service."""
