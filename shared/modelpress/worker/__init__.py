"""The step runtime: a warm child process that runs kernels, and the parent's side of it."""
