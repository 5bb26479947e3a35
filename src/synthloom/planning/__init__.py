"""Which plan to try, and why."""
