import platform
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import filelock
import pytest
import ray

from s2st.config import UserError
from stages import run_folder
from stages.run import run_step, run_steps
from stages.stage import Step


def steps_in(folder):
    return [Step("manifest", "pipelines.ingest", str(folder), {"phrasebook": {}}, {})]


@pytest.fixture
def bucket(monkeypatch):
    """A function that gives the address of a bucket whose server answers every request with a status."""
    servers = []

    def serve(status):
        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_HEAD = do_GET = do_PUT = do_POST = answer

            def log_message(self, *_):
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{servers[-1].server_port}")
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        return "s3://bucket/run"

    yield serve
    for server in servers:
        server.shutdown()


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with filelock.FileLock(tmp_path / ".lock"), pytest.raises(UserError, match="another run is at work in .*run="):
        run_steps(steps_in(tmp_path), parallel=1)


def test_a_run_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to .*/file/run"):
        run_steps(steps_in(tmp_path / "file" / "run"), parallel=1)


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (404, "there is no bucket s3://bucket, or its region is another; make it, or choose another folder with run="),
        (403, "no right to write to s3://bucket/run .*; give this node a role or keys that may read, write and delete"),
        (400, "cannot write to s3://bucket/run: "),
    ],
)
def test_a_bucket_that_takes_nothing_is_told_before_any_step(bucket, status, sentence):
    with pytest.raises(UserError, match=sentence):
        run_steps(steps_in(bucket(status)), parallel=1)


def test_an_address_of_an_unknown_kind_is_told():
    with pytest.raises(UserError, match=r"cannot write to nfs://server/run: .*nfs://server/run.*run="):
        run_steps(steps_in("nfs://server/run"), parallel=1)


def test_a_google_bucket_without_an_account_is_told():
    reason = "google::cloud::Status(UNAVAILABLE: Could not create a OAuth2 access token to authenticate the request"
    assert run_folder._refusal("gs://b/run", reason).startswith("no right to write to gs://b/run (google::cloud")


def test_a_node_without_the_folder_of_the_run_is_named(local_ray, tmp_path):
    with run_folder.alone(str(tmp_path)):
        run_folder.check_nodes(str(tmp_path))
    here = ray.nodes()[0]["NodeManagerAddress"]
    with pytest.raises(UserError, match=rf"elsewhere is not there on {here}, and .*; choose a bucket with run=s3://"):
        run_folder.check_nodes(str(tmp_path / "elsewhere"))


def test_a_step_on_such_a_node_says_so(tmp_path):
    (step,) = steps_in(tmp_path / "elsewhere")
    told = run_step._function(step)["error"]
    assert f"elsewhere is not there on {platform.node()}, and the nodes of a cluster share no disk" in told


def test_a_bucket_that_takes_files_is_reached(bucket):
    run_folder.reach(bucket(200))
