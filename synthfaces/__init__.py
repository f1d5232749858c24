"""Photos of people who do not exist, rendered from a CC0 head model.

A person is drawn at random, then a shot of the person; the photo comes with its true landmarks and box:

>>> from synthfaces import render, sampling
>>> rng = sampling.stream(1, "somebody")
>>> person = sampling.sample_identity("somebody", rng)
>>> shot = sampling.sample_shot(person, rng, sampling.CaptureConfig(yaw=15))
>>> photo = render.render_photo(person, shot, size=64)
>>> photo.image.shape, photo.landmarks.shape, photo.box.shape
((64, 64, 3), (5, 2), (4,))

From the ground up: `prepared` (arrays kept on disk), `raster` and `lighting` (compiled loops), `surface` (meshes,
materials, noise), `assets` and `mesh` (the head model), `subject` (what describes a person and a shot), `sampling` (draws
both at random), `hair`, `props` and `skin` (what a head wears), `shading` (the colour of pixels), `render` (one photo),
`studio` (all photos of many people, in parallel). Only `facerec.core` and `facerec.imaging` are used from elsewhere.
"""
