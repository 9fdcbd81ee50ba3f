"""Forest cover types 4 and 2: 286,048 rows, 10 numeric features, 1 % minority.

Blackard and Dean 1999 (UCI, CC BY 4.0) as in ADBench.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks import _data
from benchmarks._data import MissingDataError as MissingDataError
from benchmarks._peers import CLASSES, Rows

FILE = "covertype_4v2.csv.gz"


def find(name: str = FILE) -> Path:
    """Path of a data file.

    Raises:
      MissingDataError: it is not there.
    """
    return _data.find(name)


def load() -> Rows:
    """All rows in the file's order; float32 [286048, 10].

    Raises:
      MissingDataError: the file is not there.
    """
    from tfx_imbalance.components import hashing
    from tfx_imbalance.components.rebalancer.copies import copies_of

    frame = pd.read_csv(find())
    minority = (frame.pop("label") == 1).to_numpy()
    x = frame.to_numpy(np.float32)
    names = tuple(map(str, frame.columns))
    ids = hashing.row_ids(pa.RecordBatch.from_arrays([pa.array(c) for c in x.T], names=names))
    label = np.where(minority, CLASSES[1], CLASSES[0]).astype(object)
    return Rows(names, x, label, ids, copies_of(ids, minority))
