"""Files of other systems: archives, lists, pairs, RecordIO and verification packs, bcolz, devkit matrices.

The main calls turn them into shards of `facerec.store` and back:

    unpacking.unpack("faces_webface_112x112", "data/faces/webface")
    exporting.pack_faces("data/faces/webface", "packed")
    rows = photos.photo_rows("lfw-deepfunneled.tgz")
"""
