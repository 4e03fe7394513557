"""SDK v3's Transformer and TransformJob against a real platform."""


def test_transform(yard):
    said = yard.python("client-sdk3", "sdk3_transform.py", timeout=300)
    assert said["transformer"] > 0.95
    assert said["resource"][0] == "Completed" and said["resource"][1] > 0.95 and said["resource"][2].endswith("/v3t/two")
    assert said["listed"] == ["v3-resource"]
