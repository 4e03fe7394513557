"""What `make install` makes of pip's configuration, and of the lock."""

import importlib.util

from tests.cli.conftest import ROOT

spec = importlib.util.spec_from_file_location("bootstrap_install", ROOT / "tools/bootstrap/install.py")
install = importlib.util.module_from_spec(spec)
spec.loader.exec_module(install)


def test_uv_is_told_what_pip_was_told_and_nothing_else():
    assert install.uv_environment({}, have={}) == {}
    told = install.uv_environment(
        {"index-url": "https://a/simple", "extra-index-url": "https://b/simple\nhttps://c/simple", "cert": "/x.pem"}, have={}
    )
    assert told == {
        "UV_DEFAULT_INDEX": "https://a/simple",
        "UV_INDEX": "https://b/simple https://c/simple",
        "SSL_CERT_FILE": "/x.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_what_the_user_set_for_uv_stays():
    assert install.uv_environment({"index-url": "https://a/simple"}, have={"UV_DEFAULT_INDEX": "https://mine"}) == {}


def test_a_lock_entry_is_the_pin_with_its_hashes():
    entry = install.lock_entry(install.RUNTIME_LOCK, "uv")
    assert entry.startswith("uv==") and "--hash=sha256:" in entry
    assert entry.count("==") == 1
