"""Find the nearest of thousands of centroids with faiss: all of them looked at, or only the likely ones.

Shapes: N frames, K centroids, D dimensions.
"""

from typing import Any, Literal

import numpy as np

Search = Literal["exact", "hnsw", "ivf"]

HNSW_LINKS = 32  # of each centroid to others, as mHuBERT-147 has them
HNSW_CANDIDATES = 32  # kept on the way to the nearest one
IVF_VISITS = 16  # lists of centroids looked through, of the four times sqrt(K) there are


def centroid_index(centroids: np.ndarray, search: Search) -> Any:
    """Make a faiss index of centroids (K, D), the same for any number of threads.

    Its `search(frames, 1)`, frames (N, D) float32, gives squared distances (N, 1) and units (N, 1). Of 10,000 centroids
    `hnsw` and `ivf` find the nearest for 19 frames of 20 or more, in a third to two thirds of the time. `exact` runs on
    the GPUs that there are.
    """
    import faiss

    num_units, dim = centroids.shape
    index: Any
    if search == "hnsw":
        index = faiss.IndexHNSWFlat(dim, HNSW_LINKS)
        index.hnsw.efSearch = HNSW_CANDIDATES
    elif search == "ivf":
        lists = faiss.IndexFlatL2(dim)
        index = faiss.IndexIVFFlat(lists, dim, min(num_units, round(4 * num_units**0.5)))
        index.nprobe = IVF_VISITS
        index.cp.min_points_per_centroid = 1  # below it faiss warns
        index.train(centroids)
    else:
        index = faiss.IndexFlatL2(dim)
        if faiss.get_num_gpus() > 0:
            index = faiss.index_cpu_to_all_gpus(index)
    index.add(centroids)
    return index
