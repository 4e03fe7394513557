"""`modelyard demo`: the main job on real data, on a platform of its own that it starts, kills in the middle, and ends."""
