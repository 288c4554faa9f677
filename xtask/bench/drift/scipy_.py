"""The same four figures by hand, with NumPy and SciPy."""

import sys

import numpy
import pyarrow.parquet
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp, wasserstein_distance
from told import clock, tell

began = clock()
tables = [pyarrow.parquet.read_table(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current")]
names = tables[0].column_names
reference, current = ([table[name].to_numpy() for name in names] for table in tables)
loaded = clock()
for a, b in zip(reference, current):
    edges = numpy.histogram_bin_edges(numpy.concatenate([a, b]), bins="sturges")
    p, q = (numpy.histogram(values, edges)[0] / len(values) for values in (a, b))
    filled = [numpy.where(shares == 0, 1e-4, shares) for shares in (p, q)]
    scores = [
        numpy.sum((filled[0] - filled[1]) * numpy.log(filled[0] / filled[1])),
        ks_2samp(a, b, method="asymp").statistic,
        jensenshannon(p, q),
        wasserstein_distance(a, b) / max(a.std(), 0.001),
    ]
    assert all(score >= 0 for score in scores)
tell(began, loaded, clock())
