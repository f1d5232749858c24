"""Images: decoding and encoding photos, aligning faces, and contact sheets.

    images.py      encoded photos to pixels and back
    alignment.py   landmarks -> similarity transform -> aligned crop
    sheets.py      many small pictures in one, for people to look at

The way from a photo to an aligned face:

    from facerec.imaging import alignment, images

    photo = images.decode(data)  # uint8 RGB (h, w, 3)
    face = alignment.warp(photo, alignment.similarity(landmarks)[0])  # landmarks (5, 2) in pixels of the photo
"""
