"""What commands show: counters and registers, fetched images, the cache."""
