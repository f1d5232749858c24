"""Using a network: do two photos show one person, and who of a gallery is in a photo?

    from facerec import recognition

    recogniser = recognition.of_experiment("params.yaml")  # or Recogniser("models/backbone.onnx", detector="mtcnn")
    threshold = recogniser.threshold(far=1e-2)
    print(recogniser.compare("a.jpg", "b.jpg", threshold))
    print(recogniser.search(recogniser.gallery("team.gallery"), "party.jpg", threshold))

The threshold is what this very model measured on a benchmark, the largest below data/scores. The files:

    decisions.py   thresholds, rates and ranks: arrays only
    thresholds.py  thresholds from measured scores
    faces.py       from a photo to aligned, embedded faces
    answers.py     what is answered, and its words
    recogniser.py  the class that does it all
    experiment.py  the class with the settings of params.yaml
    drawing.py     pictures of answers
"""

from facerec.recognition.decisions import OperatingPoint, UnsupportedRateError
from facerec.recognition.experiment import of_experiment
from facerec.recognition.faces import NoFaceError, PhotoFace, Portrait
from facerec.recognition.recogniser import Enrolled, Named, Recogniser, Refused
from facerec.recognition.results import Candidate, Identified, PhotoComparison, Search
from facerec.recognition.thresholds import Measurement, Threshold
from facerec.store.gallery import Gallery, GalleryEntry

__all__ = [
    "Candidate",
    "Enrolled",
    "Gallery",
    "GalleryEntry",
    "Identified",
    "Measurement",
    "Named",
    "NoFaceError",
    "OperatingPoint",
    "PhotoComparison",
    "PhotoFace",
    "Portrait",
    "Recogniser",
    "Refused",
    "Search",
    "Threshold",
    "UnsupportedRateError",
    "of_experiment",
]
