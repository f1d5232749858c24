"""Files in and out: the project's own shards, and every foreign layout as import or export around them."""
