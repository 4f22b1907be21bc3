"""What the benchmarks `overhead` and `kill` are made of: contestants in processes of their own, trials, audits."""
