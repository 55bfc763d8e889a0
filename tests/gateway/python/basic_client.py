"""Checks Basic authentication with the library requests. Argument: the URL of the gateway."""

import sys

import requests

URL = sys.argv[1]
TIMEOUT = 60

client = requests.Session()
client.trust_env = False  # No forward proxy.

without = client.get(URL, headers={"Accept": "application/json"}, timeout=TIMEOUT)
assert without.status_code == 401, without
assert without.headers["www-authenticate"].startswith("Basic realm="), without.headers
assert without.headers["cache-control"] == "no-store", without.headers
assert without.json()["code"] == "missing_credentials", without.text

for user, password in [("ann", "wrong"), ("ann", ""), ("bob", "a password"), ("", ""), ("ANN", "a password")]:
    wrong = client.get(URL, auth=(user, password), timeout=TIMEOUT)
    assert wrong.status_code == 401, (user, wrong)

for _ in range(3):
    right = client.get(URL, auth=("ann", "a password"), headers={"X-Auth-User": "root"}, timeout=TIMEOUT)
    assert (right.status_code, right.text) == (200, "ann"), right

# The password is not kept for requests without it.
assert client.get(URL, timeout=TIMEOUT).status_code == 401
print("done")
