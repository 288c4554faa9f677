"""Three methods of NannyML, which has no stability index, over all columns: fitted on the reference, one chunk of the current values."""

import sys
import warnings

warnings.filterwarnings("ignore")

import nannyml
import pandas
from told import clock, tell

began = clock()
reference, current = (pandas.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current"))
loaded = clock()
methods = ["kolmogorov_smirnov", "jensen_shannon", "wasserstein"]
calculator = nannyml.UnivariateDriftCalculator(column_names=list(reference.columns), continuous_methods=methods, chunk_number=1)
calculator.fit(reference)
assert len(calculator.calculate(current).to_df()) > 0
tell(began, loaded, clock())
