"""Four methods of Evidently, each over all columns."""

import sys
import warnings

warnings.filterwarnings("ignore")

import pandas
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from told import clock, tell

began = clock()
reference, current = (pandas.read_parquet(f"{sys.argv[1]}/{name}.parquet") for name in ("reference", "current"))
loaded = clock()
kinds = DataDefinition(numerical_columns=list(reference.columns))
reference, current = (Dataset.from_pandas(frame, data_definition=kinds) for frame in (reference, current))
for method in ("psi", "ks", "jensenshannon", "wasserstein"):
    scores = Report([DataDriftPreset(num_method=method)]).run(current, reference).dict()
    assert len(scores["metrics"]) >= 10
tell(began, loaded, clock())
