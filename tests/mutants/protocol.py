"""The mutants: deliberate faults of the protocol, by the package that they are in.

They were written from the invariants and the tables of failures (docs/design/protocol.md) and from
the sources, before the tests were read.
"""

from __future__ import annotations

from tests.mutants.bucket_faults import BUCKET
from tests.mutants.cloud_faults import CLOUD
from tests.mutants.core_faults import CORE
from tests.mutants.local_faults import LOCAL
from tests.mutants.metrics_faults import METRICS
from tests.mutants.model import Mutant
from tests.mutants.storage_faults import STORAGE
from tests.mutants.tuning_faults import TUNING

MUTANTS: tuple[Mutant, ...] = (*CORE, *STORAGE, *BUCKET, *TUNING, *LOCAL, *CLOUD, *METRICS)
