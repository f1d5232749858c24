"""Which faces to train on: errors in the labels of a training set, and people that it shares with a benchmark.

    found = find_errors(read_shards("data/faces/train/mine"), load_embedder("data/raw/mobilefacenet_foamliu_pt"), Cleaning())
    write_decisions(found.decisions, "decisions.yaml")

`people` holds the centres of identities and cuts calibrated on a network and a number of people, `cleaning` what is wrong
inside one set, `overlap` who is in two. Both propose decisions (`facerec.store.decisions`) for a person to review.
"""
