"""The cluster files by Ray's own schema, and what that does not look into."""

import copy
import re

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

FILES = ("cluster.yaml", "deploy/cluster_gcp.yaml")


@pytest.fixture(params=FILES)
def cluster(request, root):
    return yaml.safe_load((root / request.param).read_text())


@pytest.fixture
def aws(root):
    return yaml.safe_load((root / "cluster.yaml").read_text())


@pytest.fixture
def gcp(root):
    return yaml.safe_load((root / "deploy/cluster_gcp.yaml").read_text())


def nodes(cluster):
    return {name: kind["node_config"] for name, kind in cluster["available_node_types"].items()}


def test_rays_schema_takes_it_and_refuses_a_typo(cluster):
    validate_config(prepare_config(copy.deepcopy(cluster)))
    cluster["idle_timeout_minute"] = 5
    with pytest.raises(Exception, match="idle_timeout_minute"):
        validate_config(prepare_config(cluster))


def test_work_runs_on_workers_from_none_to_many(cluster):
    kinds = cluster["available_node_types"]
    head = kinds.pop(cluster["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert any(
        "ray start --head" in command and "--num-cpus=0" in command for command in cluster["head_start_ray_commands"]
    )
    assert set(kinds) == {"cpu", "gpu"}
    for kind in kinds.values():
        assert kind["min_workers"] == 0 < kind["max_workers"]
        assert all(type(number) is int for number in kind["resources"].values())
    assert "GPU" not in kinds["cpu"]["resources"]
    # a training worker takes a CPU beside its GPU, and the workers that read its data take more
    assert kinds["gpu"]["resources"]["GPU"] == 1 < kinds["gpu"]["resources"]["CPU"]
    assert cluster["max_workers"] == sum(kind["max_workers"] for kind in kinds.values())


def test_idle_nodes_leave(cluster):
    assert 0 < cluster["idle_timeout_minutes"] <= 10
    assert cluster["available_node_types"]["gpu"]["idle_timeout_s"] <= 60 * cluster["idle_timeout_minutes"]
    assert cluster["provider"]["cache_stopped_nodes"] is False  # stopped machines pay for their disks


def test_the_image_has_the_pinned_ray(cluster, ray_version):
    assert cluster["docker"]["image"].endswith(f":ray{ray_version}")


def test_every_node_asks_for_the_token_and_has_it(cluster):
    assert "--env=RAY_AUTH_MODE=token" in cluster["docker"]["run_options"]
    assert cluster["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    for commands in (cluster["head_start_ray_commands"], cluster["worker_start_ray_commands"]):
        assert not any("RAY_AUTH_MODE=disabled" in command for command in commands)


def test_nothing_listens_to_the_world(cluster):
    assert any("--dashboard-host=127.0.0.1" in command for command in cluster["head_start_ray_commands"])
    assert "0.0.0.0" not in yaml.safe_dump(cluster)
    assert "security_group" not in cluster["provider"]  # which would add rules to Ray's own group, open to SSH


def test_aws_machines(aws):
    machines = nodes(aws)
    assert all(re.fullmatch(r"[a-z]\w+\.\w+", machine["InstanceType"]) for machine in machines.values())
    assert machines["gpu"]["InstanceType"].startswith(("g", "p"))
    spot = {
        name for name, machine in machines.items() if machine.get("InstanceMarketOptions") == {"MarketType": "spot"}
    }
    assert spot == {"cpu", "gpu"}  # the head holds the cluster's state
    for machine in machines.values():
        assert machine["ImageId"]
        assert machine["SecurityGroupIds"]  # else Ray makes a group that lets SSH in from everywhere
        assert machine["MetadataOptions"] == {"HttpTokens": "required"}


def test_aws_workers_have_rights_of_their_own(aws):
    profiles = {name: machine["IamInstanceProfile"]["Arn"] for name, machine in nodes(aws).items()}
    assert profiles["cpu"] == profiles["gpu"] != profiles["head"]


def test_gcp_machines(gcp):
    machines = nodes(gcp)
    preemptible = {name for name, machine in machines.items() if machine.get("scheduling") == [{"preemptible": True}]}
    assert preemptible == {"cpu", "gpu"}
    assert machines["gpu"]["machineType"].startswith("g2-")
    accounts = {name: machine["serviceAccounts"][0]["email"] for name, machine in machines.items()}
    assert accounts["cpu"] == accounts["gpu"] != accounts["head"]
    assert all("default" not in machine["networkInterfaces"][0]["subnetwork"] for machine in machines.values())


def test_both_clouds_have_the_same_cluster(aws, gcp):
    clouds = ("provider", "available_node_types")
    assert {key: value for key, value in aws.items() if key not in clouds} == {
        key: value for key, value in gcp.items() if key not in clouds
    }
    for kind in aws["available_node_types"].values():
        kind.pop("node_config")
    for kind in gcp["available_node_types"].values():
        kind.pop("node_config")
    assert aws["available_node_types"] == gcp["available_node_types"]
