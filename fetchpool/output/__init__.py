"""All that is written: bodies, the ledger, records, names."""
