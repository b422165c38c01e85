"""Mathematics on arrays: no genes, no figures."""
