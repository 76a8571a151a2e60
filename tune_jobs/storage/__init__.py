"""What is durable: Optuna's storage behind a mirror, the ledger, the lease, the controls."""
