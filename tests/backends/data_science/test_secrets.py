"""Secrets of job runs: read from the Vault in the run, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import oci
import pytest

from tests.backends.data_science.conftest import (
    MakeBackend,
    OpenService,
    permit_tuners,
    run,
    wait_for_end,
)
from tests.oci_emulator import Emulator, Fault
from tune_jobs import Connection, DataScienceBackend, Infrastructure, Secret, Tuner
from tune_jobs.backends.data_science.ads_job import quiet_ads
from tune_jobs.backends.data_science.definition import build_spec
from tune_jobs.backends.data_science.job import Job as CreatedJob
from tune_jobs.backends.data_science.request import Settings, build_details
from tune_jobs.config.backend import _read_environment
from tune_jobs.core.job_runs import MetricSources, RunState
from tune_jobs.core.trial_attributes import CAUSE_ATTRIBUTE
from tune_jobs.errors import BackendError, ConfigError, SubmitError
from tune_jobs.metric_store.store import MetricStore
from tune_jobs.oci import policies
from tune_jobs.runtime.secret_values import UnusableSecret, read_secret
from tune_jobs.space.yaml_source import loads

MakeTuner = Callable[..., Tuner]

VALUE = "hf_Secret/Token+1"
FAMILIES = ("data-science-family", "object-family", "logging-family")


def test_a_run_reads_its_secrets(
    make_backend: MakeBackend, open_service: OpenService, stored: MetricStore, emulator: Emulator
) -> None:
    ocid = emulator.vault.add("token", VALUE.encode())
    lines = b"line one\nl\xc3\xaene \xff two\n"
    env = {"TOKEN": Secret(ocid), "LINES": Secret(emulator.vault.add("lines", lines))}
    emulator.faults.add(Fault("error", "get_secret_bundle", times=1, status=503, code="Busy"))
    script = (
        "import os, sys\nprint('token', os.environ['TOKEN'], len(os.environ['TOKEN']))\n"
        "lines = os.environb[b'LINES']\nprint(len(lines), flush=True)\nos.write(1, lines)\n"
        "print(os.environ.get('TUNE_JOBS_SECRETS'), file=sys.stderr)\n"
        "from tune_jobs import report\nreport({f\"of {os.environ['TOKEN']}\": 1.0, 'value': 2.0})\n"
    )
    sources = MetricSources(("value",))
    service = open_service(make_backend(script, env=env), sources=sources)
    service.submit(run("a-1"))
    assert wait_for_end(service, "a-1").state is RunState.SUCCEEDED
    log = stored.log("a-1")
    assert log == f"token *** {len(VALUE)}\n{len(lines)}\n***\nNone\n"
    assert stored.records("a-1")[0].values == {"of ***": 1.0, "value": 2.0}
    emulator.vault.rotate(ocid, b"short")
    service.submit(run("a-2"))
    wait_for_end(service, "a-2")
    log = stored.log("a-2")
    assert "token short 5" in log
    assert "not masked in the output, since shorter than 6 bytes: TOKEN\n" in log


def test_every_node_reads_them(
    make_backend: MakeBackend, open_service: OpenService, emulator: Emulator
) -> None:
    env = {"TOKEN": Secret(emulator.vault.add("token", VALUE.encode()))}
    script = "import os\nprint(os.environ['NODE_RANK'], os.environ['TOKEN'], 'value=1')\n"
    service = open_service(make_backend(script, env=env, nodes=2))
    service.submit(run("a-1"))
    assert wait_for_end(service, "a-1").state is RunState.SUCCEEDED
    logs = [
        each.data.decode()
        for name, each in emulator.object_storage.buckets["tune-jobs"].objects.items()
        if name.endswith("log.txt")
    ]
    assert sorted(logs) == ["0 *** value=1\n", "1 *** value=1\n"]


@pytest.fixture
def tuner(make_backend: MakeBackend, build_tuner: MakeTuner, emulator: Emulator) -> Tuner:
    allowed, refused = (emulator.vault.add(name, VALUE.encode()) for name in ("one", "two"))
    env = {"TOKEN": Secret(allowed), "OTHER": Secret(refused)}
    backend = make_backend("print('value: 1')\n", env=env)
    return build_tuner(backend, max_parallel=2)


def test_a_refused_secret_ends_the_call_once(tuner: Tuner, emulator: Emulator) -> None:
    allowed, refused = emulator.vault.secrets
    permit_tuners(emulator)  # names the groups
    emulator.access.permit(
        *(
            f"allow {who} to manage {family} in tenancy"
            for who in ("group tuners", "dynamic-group job-runs")
            for family in FAMILIES
        ),
        str(policies.RUN_SECRETS)
        .replace("<job-runs>", "job-runs")
        .replace("compartment <compartment>", "tenancy")
        .replace("<secret>", allowed),
    )
    statement = str(policies.RUN_SECRETS).replace("<secret>", refused)
    with pytest.raises(BackendError, match=r"the secret of OTHER") as caught:
        tuner.optimize(n_trials=12)
    assert statement in str(caught.value)
    assert allowed not in str(caught.value)
    assert len(emulator.data_science.runs()) == 2, "as many as in parallel"
    causes = [t.user_attrs.get(CAUSE_ATTRIBUTE, "") for t in tuner.study.trials]
    assert any("OTHER" in cause for cause in causes)
    emulator.data_science.join()
    emulator.access.statements = None
    tuner.optimize(n_trials=2)
    assert {t.state.name for t in tuner.study.trials} == {"COMPLETE"}


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "it is empty"), (b"a\0b", "NUL byte"), (b"x" * 200_000, "more than 131000 bytes")],
    ids=["empty", "NUL", "long"],
)
def test_values_that_cannot_be_used(
    connection: Connection, emulator: Emulator, content: bytes, problem: str
) -> None:
    ocid = emulator.vault.add("token", content)
    with pytest.raises(UnusableSecret, match=problem):
        read_secret(connection.client(oci.secrets.SecretsClient), ocid)


def make_settings(**secrets: Secret) -> Settings:
    return Settings("s", "oci://b@n/s", MetricSources(("v",)), {}, {}, None, secrets)


def test_variables_of_a_request() -> None:
    job = CreatedJob(
        *("ocid1.datasciencejob.oc1..j", "j", "c", "p", {"TOKEN": "plain", "A": "1"}, ()),
        has_runner=True,
        container=None,
        infrastructure={},
        max_runtime=None,
        log=None,
    )
    secret = Secret("ocid1.vaultsecret.oc1..a")
    arguments: Any = {"as_object": False, "shape": None}
    details = build_details(job, run("a-1"), make_settings(TOKEN=secret), **arguments)
    env = details["jobConfigurationOverrideDetails"]["environmentVariables"]
    assert env["TUNE_JOBS_SECRETS"] == '{"TOKEN": "ocid1.vaultsecret.oc1..a"}'
    assert "TOKEN" not in env
    assert env["A"] == "1"
    with pytest.raises(SubmitError, match="environment variable TOKEN is a secret"):
        build_details(
            job, run("a-1", env={"TOKEN": "0.1"}), make_settings(TOKEN=secret), **arguments
        )


def make_container_job(infrastructure: Infrastructure) -> Any:
    """Return a job of ADS that is to run without the runner."""
    with quiet_ads():
        from ads.jobs import ContainerRuntime, DataScienceJob, Job

        words = {"entrypoint": ["python", "train.py"]}
        runtime = ContainerRuntime().with_image("iad.ocir.io/e/i:1", **words)
        runtime.with_environment_variable(TUNE_JOBS_RUNNER="off")
        on = DataScienceJob(spec=build_spec(infrastructure))
        return Job(name="own").with_infrastructure(on).with_runtime(runtime)


def test_jobs_without_the_runner(
    open_service: OpenService,
    infrastructure: Infrastructure,
    connection: Connection,
    emulator: Emulator,
) -> None:
    job = make_container_job(infrastructure)
    env = {"TOKEN": Secret("ocid1.vaultsecret.oc1..a")}
    backend = DataScienceBackend.from_job(job, connection=connection, env=env)
    with pytest.raises(ConfigError, match="own runs without the runner"):
        open_service(backend)
    assert not emulator.data_science.jobs()
    open_service(DataScienceBackend.from_job(job, connection=connection))
    (created,) = emulator.data_science.jobs()
    existing = DataScienceBackend.from_ocid(created, connection=connection, env=env)
    with pytest.raises(ConfigError, match=f"{created} runs without the runner"):
        open_service(existing)


def test_what_is_no_secret() -> None:
    with pytest.raises(ConfigError, match="named by its OCID") as caught:
        Secret(VALUE)
    assert VALUE not in str(caught.value)
    for name in ("PYTHONPATH", "TUNE_JOBS_STORE", "", "A=B"):
        with pytest.raises(ConfigError, match="env"):
            DataScienceBackend(
                "ocid1.datasciencejob.oc1..j", env={name: Secret("ocid1.vaultsecret.oc1..a")}
            )


def test_study_file() -> None:
    read = _read_environment(loads("A: 1\nTOKEN: {secret: ocid1.vaultsecret.oc1..a}\n"))
    assert read == {"A": "1", "TOKEN": Secret("ocid1.vaultsecret.oc1..a")}
    for text, problem in (
        ("T: {secret: hf_abcdef}", "named by its OCID"),
        ("T: {secret: [hf_abcdef]}", "named by its OCID"),
        ("T: {secret: {a: hf_abcdef}}", "named by its OCID"),
        ("T: [hf_abcdef]", "is a list, and an environment variable is a string"),
        ("T: {}", "is empty: write"),
        ("T: {ocid: x}", "unknown key 'ocid'"),
    ):
        with pytest.raises(ConfigError, match=problem) as caught:
            _read_environment(loads(text))
        assert "hf_abcdef" not in str(caught.value)
