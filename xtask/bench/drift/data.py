"""Writes reference.parquet and current.parquet: ROWS x 10 float64, seeded; column c3 of the current ones is shifted by 0.1."""

import sys

import numpy
import pyarrow
import pyarrow.parquet

folder, rows = sys.argv[1], int(sys.argv[2])
random = numpy.random.default_rng(7)
for name, shift in (("reference", 0.0), ("current", 0.1)):
    columns = {f"c{at}": random.normal(size=rows) for at in range(10)}
    columns["c3"] += shift
    table = pyarrow.table(columns)
    pyarrow.parquet.write_table(table, f"{folder}/{name}.parquet", compression="snappy", use_dictionary=False)
