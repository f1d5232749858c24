"""Files that the pipeline itself writes: shards of photos and faces, embeddings, pairs, scores, galleries.

Beside them stand the records kept with a network (`preprocessing`, `training_sets`) and the batches it learns from
(`face_dataset`). The main calls:

    faces = shards.read_shards("data/faces/synth_lfw")
    embedded = embeddings.read_embeddings("data/embeddings/synth_lfw.npy")

Files of other systems are read and written in `facerec.interop`, which nothing here imports.
"""
