"""All ways to define a job: runtimes of ADS, its YAML, existing jobs, containers."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oci
import pytest

from tests.backends.data_science.conftest import SOURCES, OpenService, run, wait_for_end
from tests.oci_emulator import Emulator, Fault
from tests.oci_emulator.data_science import NOTEBOOK_SESSION
from tune_jobs import Connection, DataScienceBackend, EntryPoint, Infrastructure
from tune_jobs.backends.data_science.ads_job import quiet_ads
from tune_jobs.core.job_runs import MetricSources, RunState
from tune_jobs.errors import BackendError, ConfigError, SubmitError
from tune_jobs.metric_store.store import MetricStore

TRAIN = "import os, sys\nprint('cwd', os.getcwd())\nprint('value:', sys.argv[1].split('=')[1])\n"


@pytest.fixture
def run_once(connection: Connection, store: str) -> Callable[..., MetricStore]:
    """Return a function that executes one run, checks its value of 0.5 and returns the store."""

    def run_once(backend: DataScienceBackend, **request: Any) -> MetricStore:
        backend.check()
        with backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print) as service:
            service.submit(run("trial-000000-1", "--x=0.5", **request))
            end = wait_for_end(service, "trial-000000-1")
        metrics = MetricStore(store, "study-1", backend.store_options)
        log = metrics.log("trial-000000-1")
        assert end.state == RunState.SUCCEEDED, f"{end.cause}\n{log}"
        assert [r.values for r in metrics.records("trial-000000-1")] == [{"value": 0.5}], log
        return metrics

    return run_once


@pytest.fixture
def options(connection: Connection) -> dict[str, Any]:
    return {"connection": connection, "poll_seconds": 0.1}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Folder with a script that needs other files in it."""
    folder = tmp_path / "project"
    (folder / "package").mkdir(parents=True)
    (folder / "train.py").write_text("import helper\n" + TRAIN)
    (folder / "helper.py").write_text("assert open('data.csv').read() == 'a,b'\n")
    (folder / "data.csv").write_text("a,b")
    (folder / "train.sh").write_text('echo "value: ${1#--x=}"\n')
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "train.py").write_text(TRAIN)
    (folder / ".git").mkdir()
    (folder / ".git" / "big").write_text("x")
    (folder / ".env").write_text("SECRET=1")
    return folder


def test_folder(project: Path, infrastructure: Infrastructure, options: Any, run_once: Any) -> None:
    backend = DataScienceBackend.from_script("train.py", infrastructure, source=project, **options)
    run_once(backend)


def test_hidden_files_are_not_uploaded(
    project: Path, infrastructure: Infrastructure, options: Any, run_once: Any, emulator: Emulator
) -> None:
    backend = DataScienceBackend.from_script("train.py", infrastructure, source=project, **options)
    run_once(backend)
    ((data, name),) = emulator.data_science.artifacts()
    (project.parent / name).write_bytes(data)
    with zipfile.ZipFile(project.parent / name) as archive:
        names = archive.namelist()
    assert "code/train.py" in names
    assert not [n for n in names if "/." in n or "__pycache__" in n]


def test_hidden_files_do_not_change_the_fingerprint(
    project: Path, infrastructure: Infrastructure, options: Any
) -> None:
    def fingerprint() -> str:
        backend = DataScienceBackend.from_script(
            "train.py", infrastructure, source=project, **options
        )
        return str(backend.describe()["code_sha256"])

    before = fingerprint()
    (project / ".env").write_text("SECRET=2")
    assert fingerprint() == before
    (project / "helper.py").write_text("pass\n")
    assert fingerprint() != before


def test_module(project: Path, infrastructure: Infrastructure, options: Any, run_once: Any) -> None:
    entry = EntryPoint.module("package.train", root=project)
    metrics = run_once(DataScienceBackend.from_script(entry, infrastructure, **options))
    assert "/code\n" in metrics.log("trial-000000-1")


def test_shell_script(
    project: Path, infrastructure: Infrastructure, options: Any, run_once: Any
) -> None:
    run_once(DataScienceBackend.from_script(project / "train.sh", infrastructure, **options))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive(
    kind: str, project: Path, infrastructure: Infrastructure, options: Any, run_once: Any
) -> None:
    archive = project.parent / f"packed.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in ("train.py", "helper.py", "data.csv"):
                packed.write(project / name, name)
    else:
        with tarfile.open(archive, "w:gz") as tar:
            for name in ("train.py", "helper.py", "data.csv"):
                tar.add(project / name, name)
    backend = DataScienceBackend.from_script("train.py", infrastructure, source=archive, **options)
    run_once(backend)


def test_script_outside_of_its_source_is_refused(
    project: Path, infrastructure: Infrastructure, options: Any
) -> None:
    outside = project.parent / "outside.py"
    outside.write_text("")
    with pytest.raises(ConfigError, match="is not below source"):
        DataScienceBackend.from_script(outside, infrastructure, source=project, **options).check()


def ads_infrastructure(emulator: Emulator, **spec: Any) -> Any:
    with quiet_ads():
        from ads.jobs import DataScienceJob

        return DataScienceJob(
            spec={
                "compartmentId": emulator.compartment,
                "projectId": emulator.project,
                "shapeName": "VM.Standard2.1",
                "blockStorageSize": 50,
                **spec,
            }
        )


def ads_job(emulator: Emulator, runtime: Any, **spec: Any) -> Any:
    with quiet_ads():
        from ads.jobs import Job

        return (
            Job(name="mine")
            .with_infrastructure(ads_infrastructure(emulator, **spec))
            .with_runtime(runtime)
        )


def test_python_runtime_with_a_script_that_calls_exit(
    project: Path, emulator: Emulator, options: Any, run_once: Any
) -> None:
    with quiet_ads():
        from ads.jobs import PythonRuntime
    (project / "train.py").write_text(f"import helper\n{TRAIN}sys.exit(0)\n")
    runtime = (
        PythonRuntime()
        .with_source(str(project), entrypoint="project/train.py")
        .with_python_path("project")
        .with_environment_variable(GREETING="${NAME}$$", NAME="x")
    )
    (project / "helper.py").write_text("import os\nassert os.environ['GREETING'] == 'x$'\n")
    metrics = run_once(DataScienceBackend.from_job(ads_job(emulator, runtime), **options))
    assert metrics.log("trial-000000-1").count("value:") == 1


def test_script_runtime_with_arguments_tags_and_time_limit(
    project: Path,
    emulator: Emulator,
    options: Any,
    run_once: Any,
    connection: Connection,
    store: str,
) -> None:
    with quiet_ads():
        from ads.jobs import ScriptRuntime
    script = project / "own.py"
    script.write_text("import sys\nassert sys.argv[1] == 'a b'\nprint('value:', sys.argv[2][4:])\n")
    runtime = (
        ScriptRuntime()
        .with_source(str(script))
        .with_argument("a b")
        .with_maximum_runtime_in_minutes(30)
        .with_freeform_tag(team="vision")
    )
    job = ads_job(emulator, runtime, freeformTags={"cost": "7"})
    run_once(DataScienceBackend.from_job(job, **options))
    client = connection.client(oci.data_science.DataScienceClient)
    listed = client.list_jobs(emulator.compartment).data[0]
    assert listed.freeform_tags.items() >= {"team": "vision", "cost": "7"}.items()
    settings = client.get_job(listed.id).data.job_configuration_details
    assert settings.maximum_runtime_in_minutes == 30
    assert job.id is None  # the user's object is unchanged


def test_notebook_runtime(project: Path, emulator: Emulator, options: Any, run_once: Any) -> None:
    import nbformat

    with quiet_ads():
        from ads.jobs import NotebookRuntime
    untyped: Any = nbformat  # only in part typed
    cell = untyped.v4.new_code_cell("import os\nprint('value:', os.environ['X'])")
    untyped.write(untyped.v4.new_notebook(cells=[cell]), project / "train.ipynb")
    pytest.importorskip("nbconvert")
    runtime = NotebookRuntime().with_notebook(str(project / "train.ipynb"))
    run_once(DataScienceBackend.from_job(ads_job(emulator, runtime), **options), env={"X": "0.5"})


def test_git_runtime(project: Path, emulator: Emulator, options: Any, run_once: Any) -> None:
    pytest.importorskip("git")
    shutil.rmtree(project / ".git")
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "-mx"],
    ):
        subprocess.run(["git", *command], cwd=project, check=True)
    with quiet_ads():
        from ads.jobs import GitPythonRuntime
    runtime = (
        GitPythonRuntime(skip_metadata_update=True)
        .with_source(f"file://{project}")
        .with_entrypoint("package/train.py")
        .with_service_conda("generalml_p311_cpu_x86_64_v1")
    )
    run_once(DataScienceBackend.from_job(ads_job(emulator, runtime), **options))


def test_yaml_of_ads(project: Path, emulator: Emulator, options: Any, run_once: Any) -> None:
    path = project / "job.yaml"
    path.write_text(
        f"""\
kind: job
spec:
  name: digits
  infrastructure:
    kind: infrastructure
    type: dataScienceJob
    spec:
      compartmentId: {emulator.compartment}
      projectId: {emulator.project}
      shapeName: VM.Standard.E4.Flex
      shapeConfigDetails: {{ocpus: 2, memoryInGBs: 32}}
      blockStorageSize: 60
  runtime:
    kind: runtime
    type: script
    spec:
      scriptPathURI: {project}/package/train.py
"""
    )
    run_once(DataScienceBackend.from_yaml(path, **options))


@pytest.mark.parametrize("content", ["kind: study", "- 1", "a: [", ""])
def test_yaml_without_a_job_is_refused(content: str, tmp_path: Path, options: Any) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"job\.yaml"):
        DataScienceBackend.from_yaml(path, **options).check()


def test_infrastructure_reaches_the_service(
    project: Path, emulator: Emulator, options: Any, run_once: Any, connection: Connection
) -> None:
    infrastructure = Infrastructure(
        compartment=emulator.compartment,
        project=emulator.project,
        shape="VM.Standard.E4.Flex",
        ocpus=2,
        memory_gb=32,
        block_storage_gb=100,
        subnet="ocid1.subnet.oc1..s",
        log_group="ocid1.loggroup.oc1..g",
        log="ocid1.log.oc1..l",
        storage_mounts=[{"src": f"oci://tune-jobs@{emulator.namespace}/data", "dest": "data"}],
        tags={"team": "vision"},
        defined_tags={"Finance": {"CostCenter": "42"}},
    )
    script = project / "package" / "train.py"
    backend = DataScienceBackend.from_script(
        script,
        infrastructure,
        conda="generalml_p311_cpu_x86_64_v1",
        env={"A": "$5 ${x}"},
        max_runtime=90,
        **options,
    )
    run_once(backend)
    client = connection.client(oci.data_science.DataScienceClient)
    job = client.get_job(client.list_jobs(emulator.compartment).data[0].id).data
    on = job.job_infrastructure_configuration_details
    assert (on.job_infrastructure_type, on.shape_name, on.subnet_id) == (
        "STANDALONE",
        "VM.Standard.E4.Flex",
        "ocid1.subnet.oc1..s",
    )
    assert (on.job_shape_config_details.ocpus, on.job_shape_config_details.memory_in_gbs) == (2, 32)
    assert on.block_storage_size_in_gbs == 100
    assert job.job_log_configuration_details.log_id == "ocid1.log.oc1..l"
    mount = job.job_storage_mount_configuration_details_list[0]
    assert (mount.bucket, mount.prefix, mount.destination_directory_name) == (
        "tune-jobs",
        "data",
        "data",
    )
    assert job.freeform_tags["team"] == "vision"
    assert job.defined_tags == {"Finance": {"CostCenter": "42"}}
    env = job.job_configuration_details.environment_variables
    assert env["CONDA_ENV_SLUG"] == "generalml_p311_cpu_x86_64_v1"
    assert env["A"] == "$5 ${x}"
    assert job.job_configuration_details.maximum_runtime_in_minutes == 90


def test_notebook_session_provides_the_infrastructure(
    project: Path,
    emulator: Emulator,
    options: Any,
    run_once: Any,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with quiet_ads():
        import ads
    monkeypatch.setenv("NB_SESSION_OCID", NOTEBOOK_SESSION)
    monkeypatch.setenv("NB_SESSION_COMPARTMENT_OCID", emulator.compartment)
    monkeypatch.setenv("PROJECT_OCID", emulator.project)
    # In a session, ADS would use its principal and the region's endpoint.
    ads.set_auth(
        "api_key",
        oci_config_location=str(emulator.config_file),
        client_kwargs={"service_endpoint": emulator.endpoint},
    )
    try:
        script = project / "package" / "train.py"
        run_once(DataScienceBackend.from_script(script, **options))
    finally:
        ads.set_auth()
    client = connection.client(oci.data_science.DataScienceClient)
    job = client.get_job(client.list_jobs(emulator.compartment).data[0].id).data
    on = job.job_infrastructure_configuration_details
    assert (on.shape_name, on.subnet_id) == ("VM.Standard.E3.Flex", "ocid1.subnet.oc1..notebook")
    assert on.job_shape_config_details.ocpus == 3


def test_infrastructure_is_required_elsewhere(
    project: Path, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NB_SESSION_OCID", raising=False)
    monkeypatch.delenv("PROJECT_OCID", raising=False)
    script = project / "package" / "train.py"
    with pytest.raises(ConfigError, match="compartment and project are missing"):
        DataScienceBackend.from_script(script, **options).check()


# -- jobs without the runner ------------------------------------------------------------------


def create_job(emulator: Emulator, connection: Connection, script: str, **details: Any) -> str:
    """Create a job without tune_jobs, and return its OCID."""
    models = oci.data_science.models
    client = connection.client(oci.data_science.DataScienceClient)
    job = client.create_job(
        models.CreateJobDetails(
            project_id=emulator.project,
            compartment_id=emulator.compartment,
            job_configuration_details=models.DefaultJobConfigurationDetails(
                environment_variables={"PYTHONPATH": os.getcwd()}
            ),
            job_infrastructure_configuration_details=(
                models.ManagedEgressStandaloneJobInfrastructureConfigurationDetails(
                    shape_name="VM.Standard2.1", block_storage_size_in_gbs=50
                )
            ),
            **details,
        )
    ).data
    if script:
        client.create_job_artifact(
            job.id, script.encode(), content_disposition="attachment; filename=train.py"
        )
    return str(job.id)


def test_existing_job_whose_script_reports(
    emulator: Emulator, connection: Connection, options: Any, run_once: Any
) -> None:
    script = "import sys\nfrom tune_jobs import report\nreport(value=float(sys.argv[1][4:]))\n"
    job = create_job(emulator, connection, script)
    backend = DataScienceBackend.from_ocid(job, **options)
    backend.check()
    run_once(backend)


@pytest.mark.parametrize("refused", [0, 2])
def test_existing_job_whose_metrics_are_in_its_log(
    refused: int,
    emulator: Emulator,
    connection: Connection,
    options: Any,
    run_once: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tune_jobs.backends.data_science.log_metrics.PATIENCE", 1.0)
    emulator.delays.log = 0.5
    models = oci.data_science.models
    log = models.JobLogConfigurationDetails(
        enable_logging=True,
        enable_auto_log_creation=True,
        log_group_id="ocid1.loggroup.oc1..g",
    )
    job = create_job(emulator, connection, TRAIN, job_log_configuration_details=log)
    # The store may refuse for a while what was found in the log.
    emulator.faults.add(
        Fault("error", "put_object", times=refused, status=401, code="NotAuthenticated")
    )
    metrics = run_once(DataScienceBackend.from_ocid(job, metrics_from="log", **options))
    assert "value: 0.5" in metrics.log("trial-000000-1")
    assert sum(seen.status == 401 for seen in emulator.requests) == refused


def test_metrics_from_a_missing_log_are_refused(
    emulator: Emulator, connection: Connection, options: Any, store: str
) -> None:
    job = create_job(emulator, connection, TRAIN)
    backend = DataScienceBackend.from_ocid(job, metrics_from="log", **options)
    with pytest.raises(BackendError, match="has no log"):
        backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print)


def test_files_and_long_arguments_need_the_runner(
    emulator: Emulator, connection: Connection, options: Any, open_service: OpenService
) -> None:
    backend = DataScienceBackend.from_ocid(create_job(emulator, connection, TRAIN), **options)
    service = open_service(backend)
    with pytest.raises(SubmitError, match="need the runner"):
        service.submit(run("trial-000000-1", files={"c.yaml": ""}))
    with pytest.raises(SubmitError, match="takes 4000"):
        service.submit(run("trial-000000-1", "x" * 4001))


def test_missing_job(options: Any, store: str) -> None:
    backend = DataScienceBackend.from_ocid("ocid1.datasciencejob.oc1..missing", **options)
    with pytest.raises(BackendError, match="manage data-science-jobs"):
        backend.open(store, "study-1", SOURCES, keep_runs=True, notice=print)


def test_container_gets_arguments_as_its_command(
    emulator: Emulator, connection: Connection, options: Any, run_once: Any, tmp_path: Path
) -> None:
    program = tmp_path / "in-the-image.py"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom tune_jobs import report\n"
        "assert sys.argv[1] == 'train'\nreport(value=float(sys.argv[2][4:]))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    with quiet_ads():
        from ads.jobs import ContainerRuntime
    runtime = (
        ContainerRuntime()
        .with_image("iad.ocir.io/ns/image:1", entrypoint=[str(program)], cmd=["train"])
        .with_environment_variable(PYTHONPATH=os.getcwd())
    )
    run_once(DataScienceBackend.from_job(ads_job(emulator, runtime), **options))


def test_metrics_file(
    project: Path,
    infrastructure: Infrastructure,
    options: Any,
    open_service: OpenService,
    stored: MetricStore,
) -> None:
    script = project / "writes.py"
    script.write_text("import json\njson.dump({'value': 0.25}, open('metrics.json', 'w'))\n")
    backend = DataScienceBackend.from_script(script, infrastructure, **options)
    service = open_service(backend, sources=MetricSources(("value",), file="metrics.json"))
    service.submit(run("trial-000000-1"))
    assert wait_for_end(service, "trial-000000-1").state == RunState.SUCCEEDED
    assert [r.values for r in stored.records("trial-000000-1")] == [{"value": 0.25}]
