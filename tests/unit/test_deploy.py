"""What stands in deploy/: whole, pinned, and closed to other machines."""

from pathlib import Path

import pytest
import yaml

DEPLOY = Path(__file__).parents[2] / "deploy"
pytestmark = pytest.mark.skipif(not DEPLOY.is_dir(), reason="the sources are not beside the tests")


def test_a_server_of_one_s_own_is_pinned_and_reached_from_its_machine_alone() -> None:
    said = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for name, service in said["services"].items():
        assert service["image"].rpartition(":")[2] not in ("", "latest"), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= said["volumes"].keys()
        assert set(service.get("depends_on", ())) <= said["services"].keys()


def test_the_cluster_is_of_the_same_release_and_needs_no_message_queue() -> None:
    values = yaml.safe_load((DEPLOY / "milvus-values.yaml").read_text())
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert compose["services"]["milvus"]["image"] == f"milvusdb/milvus:{values['image']['all']['tag']}"
    assert values["cluster"]["enabled"]
    assert values["woodpecker"]["enabled"]
    assert not values["pulsarv3"]["enabled"]
