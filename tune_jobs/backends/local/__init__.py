"""Job runs as local processes, which outlive their tuner."""
