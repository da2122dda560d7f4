"""Weights & Biases: no file holds the key, and no server stops a training."""

import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import wandb

from core.notices import Notice
from training.folder import wandb_logger
from training.folder.output_options import KEY_VARIABLE
from training.folder.wandb_logger import SecretiveWandb

KEY = "ab" * 20


@pytest.fixture(autouse=True)
def account(monkeypatch, tmp_path):
    """Whatever the logger sets in the environment is undone, and its run is closed."""
    monkeypatch.setenv(KEY_VARIABLE, "")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(wandb_logger, "PATIENCE", 2)
    yield
    wandb.finish()
    wandb.teardown()


@pytest.fixture
def denying_server():
    """Address of a server that denies every key."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(401)
            self.end_headers()

        do_GET = do_POST

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("words", [("--wandb_api_key", KEY), (f"--wandb_api_key={KEY}",)])
def test_no_file_of_an_offline_run_holds_the_key(tmp_path, monkeypatch, words):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(sys, "argv", ["train.py", *words])
    logger = SecretiveWandb("p", tmp_path / "run", KEY)
    logger.log_metrics({"loss": 1.0}, 1)
    wandb.finish()
    wandb.teardown()  # ends wandb's own process, which may still be writing
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" and b"loss" in path.read_bytes() for path in files)
    # wandb stores the command line from another thread, at times only after this test has ended.
    assert sys.argv == ["train.py", *(word.replace(KEY, "***") for word in words)]
    for path in files:
        assert KEY.encode() not in path.read_bytes(), path
        assert path.suffix != ".patch"  # what git would show of changed files


def test_with_a_bad_key_the_training_goes_on(tmp_path, monkeypatch, denying_server, capfd):
    monkeypatch.setenv("WANDB_BASE_URL", denying_server)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger, begin = SecretiveWandb("p", tmp_path / "run", KEY), time.monotonic()
    with pytest.warns(Notice, match="does not take this run .*goes on with the other loggers"):
        logger.log_metrics({"loss": 1.0}, 1)
    assert time.monotonic() - begin < 15
    logger.log_metrics({"loss": 1.0}, 2)
    logger.finalize("success")
    out, err = capfd.readouterr()
    assert KEY not in out + err
