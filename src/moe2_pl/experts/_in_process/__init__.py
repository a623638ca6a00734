"""Models that run in this process, by transformers or llama.cpp: they score options and write answers."""
