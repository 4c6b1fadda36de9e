"""From files to examples: builders, readers and tokenizers. Never imports JAX."""
