"""From photos and the faces detected in them to a set of aligned faces, one face a photo.

    fallbacks.py   which face of a photo is taken, and what is tried when there is none
    crops.py       the crop of a face, and all crops of a set of photos
    statistics.py  how many photos gave a face, by which fallback, and how well

The main call writes a face set; `failures.parquet` beside its shards lists the photos that gave no face and why:

    from facerec.aligning import align_set
    from facerec.params import Align

    statistics = align_set("photos", "detections.parquet", "faces", Align(rule="largest"))
"""

from facerec.aligning.crops import align_set
from facerec.aligning.fallbacks import FALLBACKS
from facerec.aligning.statistics import AlignmentStatistics

__all__ = ["FALLBACKS", "AlignmentStatistics", "align_set"]
