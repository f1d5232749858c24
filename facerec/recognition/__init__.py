"""Comparing photos, enrolling people in a gallery, and searching photos for them.

    from facerec import Recogniser

    recogniser = Recogniser.of_experiment("params.yaml")  # or Recogniser("models/backbone.onnx", detector="mtcnn")
    threshold = recogniser.threshold(far=1e-2)
    print(recogniser.compare("a.jpg", "b.jpg", threshold))
    print(recogniser.search(recogniser.gallery("team.gallery"), "party.jpg", threshold))

The threshold comes from the largest benchmark below data/scores that this model was measured on. The files:

    recogniser.py  `Recogniser`, the class with all of it
    thresholds.py  thresholds from the scores of a benchmark; false accept rates, ranks
    results.py     faces, and results of a comparison and a search, in words and for JSON
    enrolling.py   folders, archives and lists of photos into a gallery file
"""
