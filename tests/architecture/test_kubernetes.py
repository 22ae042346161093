"""The manifests for Kubernetes are valid, and refer only to what is there."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from service.domain.job import ACTIVE
from service.services import Services
from service.settings import Settings
from service.store import counters
from tests.architecture.container_files import STAGES
from tests.builders import add_dataset, add_job
from tests.described import described

ROOT = Path(__file__).parents[2]
RESOURCES: list[dict[str, Any]] = list(
    yaml.safe_load_all((ROOT / "docs" / "kubernetes" / "usual-suspects.yaml").read_text())
)
AUTOSCALING = (ROOT / "docs" / "kubernetes" / "autoscaling.yaml").read_text()
SCALERS: dict[str, dict[str, Any]] = {one["kind"]: one for one in yaml.safe_load_all(AUTOSCALING)}
VERSIONS = ("1.30", "1.37")
READ_BY_OTHERS = {"HF_HUB_OFFLINE"}


def named(one: dict[str, Any]) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def pods() -> dict[str, dict[str, Any]]:
    """The pod specifications, by the name of their resource."""
    return {named(one): one["spec"]["template"]["spec"] for one in RESOURCES if "template" in one.get("spec", {})}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid_against_the_schemas_of_kubernetes(version: str) -> None:
    for one in RESOURCES:
        kubernetes_validate.validate(one, version, strict=True)
    assert len({named(one) for one in RESOURCES}) == len(RESOURCES)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    (service,) = [one for one in RESOURCES if one["kind"] == "Service"]
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**service, "spec": {**service["spec"], "prots": []}}, VERSIONS[-1], strict=True)


def test_images_settings_volumes_and_probes_are_those_of_the_product() -> None:
    paths = described()["paths"]
    known = {f"SUSPECTS_{name.upper()}" for name in Settings.model_fields} | READ_BY_OTHERS
    claims = {one["metadata"]["name"] for one in RESOURCES if one["kind"] == "PersistentVolumeClaim"}
    (given,) = [one["data"] for one in RESOURCES if one["kind"] == "ConfigMap"]
    assert set(given) <= known
    for name, pod in pods().items():
        (container,) = pod["containers"]
        image, _, version = container["image"].partition(":")
        assert image.removeprefix("usual-suspects-") in STAGES, name
        assert version, name
        assert {one["name"] for one in container.get("env", ())} <= known, name
        assert {one["name"] for one in container["volumeMounts"]} == {one["name"] for one in pod["volumes"]}, name
        used = {one["persistentVolumeClaim"]["claimName"] for one in pod["volumes"] if "persistentVolumeClaim" in one}
        assert used <= claims, name
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            asked = container.get(probe, {}).get("httpGet")
            assert asked is None or asked["path"].split("?")[0] in paths, (name, probe)


def test_no_container_runs_as_root_or_can_write_its_image() -> None:
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["automountServiceAccountToken"] is False, name
        for container in pod["containers"]:
            inside = container["securityContext"]
            assert (inside["readOnlyRootFilesystem"], inside["allowPrivilegeEscalation"]) == (True, False), name
            assert inside["capabilities"] == {"drop": ["ALL"]}, name
            assert "memory" in container["resources"]["limits"], name


def test_uploads_that_are_read_fit_into_the_memory_of_the_api() -> None:
    (given,) = [one["data"] for one in RESOURCES if one["kind"] == "ConfigMap"]
    (container,) = pods()["Deployment api"]["containers"]
    limit = int(container["resources"]["limits"]["memory"].removesuffix("Gi")) * 2**30
    reading = int(given["SUSPECTS_INGEST_PROCESSES"]) * int(given["SUSPECTS_INGEST_MEMORY_BYTES"])
    assert reading <= limit - 2**30  # which the API itself may take


def test_only_the_api_takes_connections() -> None:
    policies = [one["spec"] for one in RESOURCES if one["kind"] == "NetworkPolicy"]
    open_to = [one["podSelector"]["matchLabels"] for one in policies if one.get("ingress")]
    assert [labels["app.kubernetes.io/component"] for labels in open_to] == ["api"]
    everything = [one for one in policies if "Ingress" in one["policyTypes"] and not one.get("ingress")]
    assert len(everything) == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_the_scaler_of_the_api_is_valid_against_the_schemas_of_kubernetes(version: str) -> None:
    kubernetes_validate.validate(SCALERS["HorizontalPodAutoscaler"], version, strict=True)


def test_scalers_change_deployments_that_are_there_and_keep_those_that_must_be() -> None:
    deployments = {one["metadata"]["name"] for one in RESOURCES if one["kind"] == "Deployment"}
    targets = {kind: one["spec"]["scaleTargetRef"]["name"] for kind, one in SCALERS.items()}
    assert targets == {"ScaledObject": "worker", "HorizontalPodAutoscaler": "api"}
    assert set(targets.values()) <= deployments
    (budget,) = [one["spec"]["minAvailable"] for one in RESOURCES if one["kind"] == "PodDisruptionBudget"]
    assert SCALERS["HorizontalPodAutoscaler"]["spec"]["minReplicas"] > budget
    assert SCALERS["ScaledObject"]["spec"]["minReplicaCount"] > 0


def test_workers_are_added_by_all_jobs_that_have_not_ended(client: httpx.Client, services: Services) -> None:
    (trigger,) = SCALERS["ScaledObject"]["spec"]["triggers"]
    told = re.search(r'(suspects_\w+)\{state=~"([a-z|]+)"\}', trigger["metadata"]["query"])
    assert told is not None
    metric, states = told.groups()
    assert set(states.split("|")) == ACTIVE
    add_job(services.database, add_dataset(services.database))
    assert f'{metric}{{state="queued"}} 1.0' in client.get("/metrics").text
    # The other trigger asks the database the same.
    asked = re.search(r"query: (SELECT .*)", AUTOSCALING)
    assert asked is not None
    assert set(re.findall(r"'(\w+)'", asked[1])) == ACTIVE
    with services.database.read() as connection:
        assert connection.exec_driver_sql(asked[1]).scalar_one() == 1


def test_the_dashboard_asks_for_metrics_that_are_served(client: httpx.Client, services: Services) -> None:
    with services.database.write() as connection:
        counters.count_completed(connection, {"training_s": 1.0})
    dashboard = json.loads((ROOT / "docs" / "kubernetes" / "grafana.json").read_text())
    asked = {
        name
        for one in dashboard["panels"]
        for part in one["targets"]
        for name in re.findall(r"suspects_\w+", part["expr"])
    }
    client.get("/metrics")  # the first request is counted once it is answered
    served = client.get("/metrics").text
    assert asked
    for name in asked:
        assert re.search(rf"^{name}[ {{]", served, re.MULTILINE), name
