"""A writable Python environment over a read-only image.

Images are shared and read-only, yet `pip install -r requirements.txt` in a job must work, as it does in a
container. So each run gets an environment of its own at /opt/venv that is empty but for a `.pth` line which
adds the image's packages behind its own. pip sees both: it installs only what is missing or of another
version, into the run's own environment, whose packages win; it never tries to remove the image's (they are
"outside environment"). The platform's own `modelyard_algorithms` is put behind both in the same way. Scripts of the image start with `#!/usr/bin/env python3`, which is this environment's.
"""

from __future__ import annotations

import os
from pathlib import Path


def make(folder: Path, image: str, image_in_box: Path, extra: str) -> None:
    """Write the environment into `folder`. Making it twice is making it once. `extra` is one more folder to import from."""
    python = os.path.realpath(os.path.join(image, "bin", "python"))
    packages = next(Path(image).glob("lib/python3.*/site-packages")).relative_to(image)
    (folder / packages).mkdir(parents=True, exist_ok=True)
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "pyvenv.cfg").write_text(f"home = {os.path.dirname(python)}\ninclude-system-site-packages = false\n")
    (folder / packages / "_image.pth").write_text(f"import site; site.addsitedir({str(image_in_box / packages)!r})\n{extra}\n")
    for name in ("python", "python3", packages.parts[1]):
        link = folder / "bin" / name
        if not link.is_symlink():
            link.symlink_to(python)
