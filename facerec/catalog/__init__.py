"""The catalog of data sets and models in data/catalog/: entries, downloads, and the sets made of them.

    entry = entries.load_entry("lfw")
    sets.acquire(entry, "data/raw/lfw")

`user_dataset` adds photos of one's own.
"""
