"""What `serve deploy` gets."""

import yaml
from ray.serve import Application
from ray.serve.schema import ServeDeploySchema

from serve.app import build


def names(value):
    """Names of the deployments of an application."""
    if isinstance(value, Application):
        bound = value._bound_deployment
        return {bound.name}.union(*map(names, (*bound.init_args, *bound.init_kwargs.values())))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return set().union(*map(names, inner))


def test_it_is_a_configuration_of_the_graph(root, tiny_model):
    config = yaml.safe_load((root / "deploy/serve.yaml").read_text())
    (application,) = ServeDeploySchema.model_validate(config).applications
    assert application.import_path == "serve.app:build"
    assert application.args["model"].startswith("s3://")
    graph = names(build({**application.args, "model": tiny_model}))
    assert {deployment.name for deployment in application.deployments} <= graph


def test_it_listens_to_its_own_machine_only(root):
    config = yaml.safe_load((root / "deploy/serve.yaml").read_text())
    assert config["http_options"]["host"] == "127.0.0.1"  # the default of a file is 0.0.0.0
