"""All typed Python of the native engines: what is compiled into their core, and nothing else."""
