"""Which images `modelyard images build` means."""

from modelyard.cli.images import _chosen
from modelyard.config import Settings
from modelyard.runtime.images import ImageStore
from tests.support.needs import LARGE


def test_all_are_all_but_the_large_ones_and_those_of_clients(tmp_path):
    store = ImageStore(Settings(data=tmp_path, cache=tmp_path))
    chosen, unknown = _chosen(store, [])
    assert {"xgboost-1.7", "scikit-learn-1.2", "base-python"} <= set(chosen) and unknown == []
    assert not {*LARGE, "client-sdk2"} & set(chosen)


def test_a_large_one_by_its_environment_or_by_a_tag(tmp_path):
    store = ImageStore(Settings(data=tmp_path, cache=tmp_path))
    asked = ["pytorch-2.13", "tensorflow-inference:2.12-cpu", "pytorch-training:9.9", "nothing"]
    assert _chosen(store, asked) == (["pytorch-2.13", "tensorflow-2.15"], ["pytorch-training:9.9", "nothing"])


def test_what_tests_leave_out_is_large(tmp_path):
    rows = ImageStore(Settings(data=tmp_path, cache=tmp_path)).list()
    assert set(LARGE) <= {row["env"] for row in rows if row["large"]}
