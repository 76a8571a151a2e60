"""Policy statements that tune_jobs needs, each with the role that needs it and why.

Messages name them, `docs/oci.md` lists them, and the tests check against an engine for policies
that they are sufficient and that each one is necessary.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Role = Literal["tuner", "run", "controller", "service"]

SUBJECTS = {
    "tuner": "group <tuners>",
    "run": "dynamic-group <job-runs>",
    "controller": "dynamic-group <controllers>",
    "service": "service datascience",
}
"""Who a statement is for; from a notebook session, the tuner is a dynamic group."""


@dataclass(frozen=True)
class Policy:
    """Statement that permits something.

    Args:
        role: Who needs it: the user who tunes, a job run, a job run that is a controller (beside
            what every job run needs), or the Data Science service.
        grant: Verb and resource.
        without: What is seen without it.
        condition: Restriction, after ``where``.
        place: Where it has to hold.
        needed: In which case it is needed; empty for always.
    """

    role: Role
    grant: str
    without: str
    condition: str = ""
    place: str = "compartment <compartment>"
    needed: str = ""

    def for_bucket(self, bucket: str) -> Policy:
        """Return the statement for a bucket."""
        return replace(self, condition=self.condition.replace("<bucket>", bucket))

    def for_secret(self, ocid: str) -> Policy:
        """Return the statement for a secret."""
        return replace(self, condition=self.condition.replace("<secret>", ocid))

    def __str__(self) -> str:
        where = f" where {self.condition}" if self.condition else ""
        return f"allow {SUBJECTS[self.role]} to {self.grant} in {self.place}{where}"


_BUCKET = "target.bucket.name = '<bucket>'"

JOBS = Policy(
    "tuner", "manage data-science-jobs", "creating or reading the job is refused: the call fails"
)
RUNS = Policy(
    "tuner", "manage data-science-job-runs", "starting or listing job runs is refused: it fails"
)
PROJECTS = Policy("tuner", "read data-science-projects", "creating the job is refused")
STORE = Policy(
    "tuner",
    "manage objects",
    "the metric store cannot be written: reported before anything is started",
    _BUCKET,
)
BUCKETS = Policy(
    "tuner",
    "read buckets",
    "the namespace of the bucket is not found",
    needed="a store without `@namespace`",
)
LOG_GROUPS = Policy(
    "tuner",
    "manage log-groups",
    "starting job runs is refused, since their logs are created on the caller's behalf",
    needed="a log group",
)
LOG_CONTENT = Policy(
    "tuner",
    "read log-content",
    "searching the log is refused; runs are not affected",
    needed="`tune-jobs logs -f`, `metrics_from=log`",
)
METRICS = Policy(
    "tuner",
    "read metrics",
    "what job runs use is not known without the runner; runs are not affected",
    needed="jobs without the runner, such as containers",
)
NETWORK = Policy(
    "tuner", "use virtual-network-family", "creating the job is refused", needed="a subnet"
)
SESSION = Policy(
    "tuner",
    "read data-science-notebook-sessions",
    "the defaults of the notebook session are not found",
    needed="a notebook session",
)
LIMITS = Policy(
    "tuner",
    "inspect resource-availability",
    "`tune-jobs doctor` cannot compare `max_parallel` with the limits",
    place="tenancy",
    needed="`tune-jobs doctor`",
)
SECRETS = Policy(
    "tuner",
    "read secrets",
    "`tune-jobs doctor` cannot see whether the secrets exist; runs are not affected",
    needed="`tune-jobs doctor` with secrets",
)
MOUNTS = Policy(
    "tuner",
    "inspect all-resources",
    "the mount targets of file storage are not found, and creating the job is refused",
    needed="`storage_mounts` of file storage",
)
COMPARTMENTS = Policy(
    "tuner",
    "inspect compartments",
    "`tune-jobs doctor` cannot name the compartment",
    needed="`tune-jobs doctor`",
)
RUN_STORE = Policy(
    "run",
    "manage objects",
    "job runs cannot upload metrics and outputs: they fail",
    _BUCKET,
)
RUN_LOG = Policy(
    "run", "use log-content", "the log stays empty; runs are not affected", needed="a log group"
)
RUN_SECRETS = Policy(
    "run",
    "read secret-bundles",
    "job runs cannot read their secrets: the call ends",
    "target.secret.id = '<secret>'",
    needed="secrets in `env`",
)
RUN_REPOS = Policy(
    "run", "read repos", "job runs cannot pull their image: they fail", needed="containers"
)
RUN_CONDA = Policy(
    "run",
    "read objects",
    "job runs cannot install their conda environment: they fail",
    "target.bucket.name = '<conda-bucket>'",
    needed="a published conda environment",
)
CONTROLLER_JOBS = Policy(
    "controller", "read data-science-jobs", "the controller cannot read the trials' job: it ends"
)
CONTROLLER_RUNS = Policy(
    "controller",
    "manage data-science-job-runs",
    "the controller cannot start the trials' runs: it ends",
)
CONTROLLER_PROJECTS = Policy(
    "controller",
    "read data-science-projects",
    "the controller cannot start the trials' runs: it ends",
)
CONTROLLER_STORE = Policy(
    "controller",
    "manage objects",
    "the controller cannot read and write the study: it ends",
    _BUCKET,
    needed="a study in a bucket",
)
CONTROLLER_LOG_GROUPS = Policy(
    "controller",
    "manage log-groups",
    "starting the trials' runs is refused, since their logs are created on the caller's behalf",
    needed="a log group",
)
CONTROLLER_NETWORK = Policy(
    "controller",
    "use virtual-network-family",
    "starting the trials' runs may be refused",
    needed="a subnet",
)
SERVICE_NETWORK = Policy(
    "service", "use virtual-network-family", "creating the job is refused", needed="a subnet"
)

POLICIES = (
    *(JOBS, RUNS, PROJECTS, STORE, BUCKETS, LOG_GROUPS, LOG_CONTENT, METRICS, NETWORK, SESSION),
    *(
        LIMITS,
        SECRETS,
        MOUNTS,
        COMPARTMENTS,
        RUN_STORE,
        RUN_LOG,
        RUN_SECRETS,
        RUN_REPOS,
        RUN_CONDA,
        SERVICE_NETWORK,
    ),
    *(CONTROLLER_JOBS, CONTROLLER_RUNS, CONTROLLER_PROJECTS, CONTROLLER_STORE),
    *(CONTROLLER_LOG_GROUPS, CONTROLLER_NETWORK),
)
