# Prints the status with which the hub answers for a file: python -c ... URL [TOKEN_FILE]
import os
import sys
import urllib.error
import urllib.request

token = os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN")
if not token and len(sys.argv) > 2:
    with open(sys.argv[2]) as file:
        token = file.read().strip()
request = urllib.request.Request(sys.argv[1], method="HEAD")
if token:
    # Not sent on to where the hub keeps its files.
    request.add_unredirected_header("Authorization", f"Bearer {token}")
try:
    with urllib.request.urlopen(request, timeout=20) as answer:
        print(answer.status)
except urllib.error.HTTPError as error:
    print(error.code)
except Exception as error:
    sys.exit(str(error))
