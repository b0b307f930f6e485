"""Takes the program uv out of its wheel: URL SHA256 TARGET. Any python3 will do."""

import hashlib
import io
import os
import sys
import urllib.request
import zipfile

url, digest, target = sys.argv[1:]
try:
    with urllib.request.urlopen(url, timeout=60) as response:
        content = response.read()
except OSError as error:
    sys.exit("cannot fetch {}: {}".format(url, error))
if hashlib.sha256(content).hexdigest() != digest:
    sys.exit("{} is not the file that the lock file means".format(url))
with zipfile.ZipFile(io.BytesIO(content)) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith("/scripts/uv"))
    with open(target, "wb") as program:
        program.write(wheel.read(name))
os.chmod(target, 0o755)
