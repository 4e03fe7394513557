"""Tells a loss that falls towards `level`, four times a second, and leaves the step it reached."""

import os
import pathlib
import time

level, steps = float(os.environ["SM_HP_LEVEL"]), int(os.environ["SM_HP_EPOCHS"])
for step in range(1, steps + 1):
    print(f"epoch {step} loss={level + 1 / step:.4f};", flush=True)
    pathlib.Path(os.environ["SM_MODEL_DIR"], "step").write_text(str(step))
    time.sleep(0.25)
