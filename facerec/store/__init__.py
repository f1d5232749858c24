"""Files that the pipeline itself writes: shards of photos and faces, embeddings, pairs, scores, galleries.

Beside them stand the metadata kept with a network (`model_metadata`) and the batches it learns from (`face_dataset`).
The main calls:

    faces = shards.read_shards("data/faces/synth_lfw")
    embedded = embeddings.read_embeddings("data/embeddings/synth_lfw.npy")

Files of other systems are read and written in `facerec.interop`, which nothing here imports.
"""
