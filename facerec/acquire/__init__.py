"""Getting data: downloads and mirrors (`sets.acquire`), and the synthetic renderer (`synthetic`)."""
