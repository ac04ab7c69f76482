"""KubeRay's manifests: every field is one that its API has.

Nothing here can admit a manifest. The tables are the fields that the manifests may use, from the API reference of
KubeRay 1.6 (docs.ray.io, "KubeRay CRD API reference", and docs/reference/api.md of ray-project/kuberay) and of
Kubernetes (core/v1, networking.k8s.io/v1); a manifest that uses another must have it looked up and added.
"""

import shlex

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from recipes.__main__ import find_recipe

ANY = object()  # a value, or a mapping with names of its own
QUANTITIES = {"cpu": ANY, "memory": ANY, "nvidia.com/gpu": ANY}
POD = {
    "metadata": {"labels": ANY},
    "spec": {
        "serviceAccountName": ANY,
        "restartPolicy": ANY,
        "tolerations": [{"key": ANY, "operator": ANY, "effect": ANY}],
        "containers": [
            {
                "name": ANY,
                "image": ANY,
                "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
                "volumeMounts": [{"name": ANY, "mountPath": ANY, "readOnly": ANY}],
            }
        ],
        "volumes": [{"name": ANY, "emptyDir": {"medium": ANY, "sizeLimit": ANY}, "secret": {"secretName": ANY}}],
    },
}
RAY_CLUSTER = {
    "rayVersion": ANY,
    "authOptions": {"mode": ANY},
    "enableInTreeAutoscaling": ANY,
    "autoscalerOptions": {"idleTimeoutSeconds": ANY},
    "headGroupSpec": {"rayStartParams": ANY, "template": POD},
    "workerGroupSpecs": [
        {
            "groupName": ANY,
            "minReplicas": ANY,
            "replicas": ANY,
            "maxReplicas": ANY,
            "idleTimeoutSeconds": ANY,
            "rayStartParams": ANY,
            "template": POD,
        }
    ],
}
SELECTOR = {"matchLabels": ANY}
SPECS = {
    ("ray.io/v1", "RayJob"): {
        "entrypoint": ANY,
        "backoffLimit": ANY,
        "shutdownAfterJobFinishes": ANY,
        "ttlSecondsAfterFinished": ANY,
        "rayClusterSpec": RAY_CLUSTER,
    },
    ("ray.io/v1", "RayService"): {
        "serveConfigV2": ANY,
        "excludeHeadPodFromServeSvc": ANY,
        "rayClusterConfig": RAY_CLUSTER,
    },
    ("networking.k8s.io/v1", "NetworkPolicy"): {
        "podSelector": SELECTOR,
        "policyTypes": ANY,
        "ingress": [{"from": [{"podSelector": SELECTOR, "namespaceSelector": SELECTOR}], "ports": [{"port": ANY}]}],
    },
}


def unknown_fields(value, known, path=""):
    """List the fields of a manifest that the tables lack."""
    if known is ANY:
        return []
    if isinstance(known, list):
        return [found for item in value for found in unknown_fields(item, known[0], path)]
    found = []
    for key, inner in value.items():
        found += unknown_fields(inner, known[key], f"{path}.{key}") if key in known else [f"{path}.{key}"]
    return found


@pytest.fixture
def manifests(root):
    files = sorted((root / "deploy/kuberay").glob("*.yaml"))
    return [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]


@pytest.fixture
def job(manifests):
    return next(manifest["spec"] for manifest in manifests if manifest["kind"] == "RayJob")


@pytest.fixture
def service(manifests):
    return next(manifest["spec"] for manifest in manifests if manifest["kind"] == "RayService")


def test_fields_are_known(manifests):
    assert {manifest["kind"] for manifest in manifests} == {kind for _, kind in SPECS}
    for manifest in manifests:
        assert set(manifest) == {"apiVersion", "kind", "metadata", "spec"}
        assert unknown_fields(manifest["spec"], SPECS[manifest["apiVersion"], manifest["kind"]]) == []


def test_a_misspelt_field_is_found(job):
    job["rayClusterSpec"]["workerGroupSpecs"][1]["maxReplica"] = 3
    assert unknown_fields(job, SPECS["ray.io/v1", "RayJob"]) == [".rayClusterSpec.workerGroupSpecs.maxReplica"]


def test_clusters_grow_from_an_idle_head_with_tokens(job, service, ray_version):
    for cluster in (job["rayClusterSpec"], service["rayClusterConfig"]):
        assert cluster["rayVersion"] == ray_version
        assert cluster["authOptions"] == {"mode": "token"}
        assert cluster["enableInTreeAutoscaling"] is True
        assert cluster["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}  # KubeRay takes strings only
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            assert pod["restartPolicy"] == "Never"
            (container,) = pod["containers"]
            assert container["image"].endswith(f":ray{ray_version}")
            assert container["resources"]["requests"] == container["resources"]["limits"]
            mounted = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounted == {volume["name"] for volume in pod.get("volumes", [])}
        for group in cluster["workerGroupSpecs"]:
            assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


def test_the_job_is_a_recipe_in_a_bucket_that_ends_and_comes_again(job):
    python, option, module, recipe, run = shlex.split(job["entrypoint"])
    assert (python, option, module) == ("python", "-m", "recipes")
    assert find_recipe(recipe)
    assert run.startswith("run=s3://")
    assert job["backoffLimit"] > 0
    assert job["shutdownAfterJobFinishes"] is True
    assert job["ttlSecondsAfterFinished"] > 0
    groups = {group["groupName"]: group for group in job["rayClusterSpec"]["workerGroupSpecs"]}
    assert all(group["minReplicas"] == 0 for group in groups.values())
    (container,) = groups["gpu"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_service_is_serve_yaml_but_for_where_it_listens(service, root):
    ours = yaml.safe_load((root / "deploy/serve.yaml").read_text())
    theirs = yaml.safe_load(service["serveConfigV2"])
    ServeDeploySchema.model_validate(theirs)
    assert ours["http_options"].pop("host") == "127.0.0.1"
    assert theirs["http_options"].pop("host") == "0.0.0.0"
    assert theirs["applications"][0]["args"].pop("api_keys") == "/etc/s2st/api_keys"
    assert ours == theirs


def test_every_node_of_the_service_has_the_keys(service):
    cluster = service["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert {"name": "keys", "secret": {"secretName": "s2st-keys"}} in pod["volumes"]
        assert {"name": "keys", "mountPath": "/etc/s2st", "readOnly": True} in pod["containers"][0]["volumeMounts"]


def test_only_chosen_pods_reach_the_port_of_serve(manifests, service):
    policy = next(manifest["spec"] for manifest in manifests if manifest["kind"] == "NetworkPolicy")
    cluster = service["rayClusterConfig"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert policy["podSelector"]["matchLabels"].items() <= group["template"]["metadata"]["labels"].items()
    for rule in policy["ingress"]:
        assert all(source["podSelector"]["matchLabels"] for source in rule["from"])
    clients = policy["ingress"][-1]
    assert clients["from"] == [{"podSelector": {"matchLabels": {"s2st-client": "true"}}}]
    assert clients["ports"] == [{"port": 8000}]
