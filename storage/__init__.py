"""The SQL truth: schema, store, leases, readers."""
