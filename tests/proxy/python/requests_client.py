"""Checks a proxy in front of the application `app.rs` with the library requests. Argument: the URL of the proxy."""

import sys

import requests

URL = sys.argv[1]
TIMEOUT = 60


def session():
    new = requests.Session()
    new.trust_env = False  # No forward proxy.
    return new


def connections(session):
    pools = session.get_adapter(URL).poolmanager.pools
    return sum(pools[key].num_connections for key in pools.keys())


def keeps_its_connection():
    client = session()
    for number in range(200):
        response = client.get(f"{URL}/name/{number}", timeout=TIMEOUT)
        assert (response.status_code, response.text) == (200, str(number)), response
        for method in ["PUT", "DELETE", "PATCH"] if number < 20 else []:
            response = client.request(method, f"{URL}/echo", data=b"x" * number, timeout=TIMEOUT)
            assert response.headers["x-method"] == method and response.content == b"x" * number, response
    head = client.head(f"{URL}/hello", timeout=TIMEOUT)
    assert head.headers["content-length"] == "5" and head.content == b"", head.headers
    assert client.get(f"{URL}/hello", timeout=TIMEOUT).text == "hello"
    assert connections(client) == 1, connections(client)


def keeps_its_cookies():
    client = session()
    assert client.get(f"{URL}/user", timeout=TIMEOUT).status_code == 401
    assert client.get(f"{URL}/login", timeout=TIMEOUT).cookies["user"] == "ada"
    assert client.get(f"{URL}/user", timeout=TIMEOUT).text == "user=ada"


def follows_redirects():
    client = session()
    response = client.get(f"{URL}/redirect", timeout=TIMEOUT)
    assert (response.text, [step.status_code for step in response.history]) == ("end", [303]), response
    response = client.post(f"{URL}/moved", data=b"kept", timeout=TIMEOUT)
    assert response.content == b"kept" and response.headers["x-method"] == "POST", response.headers
    assert [step.status_code for step in response.history] == [307], response.history
    # To a complete URL with the host that the client asked for.
    response = client.get(f"{URL}/absolute", timeout=TIMEOUT)
    assert response.text == "absolute" and response.url == f"{URL}/name/absolute", response.url


def streams_up():
    client = session()
    parts = [bytes([number % 256]) * 10_000 for number in range(500)]
    response = client.post(f"{URL}/count", data=iter(parts), timeout=TIMEOUT)
    assert response.text == "5000000", response.text
    response = client.post(f"{URL}/echo", data=iter(parts[:50]), timeout=TIMEOUT)
    assert response.content == b"".join(parts[:50])
    assert response.headers["x-framing"] == "none", response.headers
    response = client.post(f"{URL}/echo", data=b"".join(parts), timeout=TIMEOUT)
    assert response.content == b"".join(parts)
    assert response.headers["x-framing"] == "length", response.headers
    response = client.post(f"{URL}/echo", files={"file": ("name.txt", b"a file")}, timeout=TIMEOUT)
    assert b'filename="name.txt"' in response.content, response.content
    assert connections(client) == 1, connections(client)


def streams_down():
    client, other = session(), session()
    with client.get(f"{URL}/large", stream=True, timeout=TIMEOUT) as response:
        length = sum(len(part) for part in response.iter_content(10_000))
    assert length == 128 * 64 * 1024, length
    with client.get(f"{URL}/held", stream=True, timeout=TIMEOUT) as response:
        parts = response.iter_content(None)
        assert next(parts) == b"first"
        # The server sends the rest only now.
        assert other.post(f"{URL}/release", timeout=TIMEOUT).status_code == 200
        assert b"".join(parts) == b"second"
    # A response that is not read to its end.
    with client.get(f"{URL}/large", stream=True, timeout=TIMEOUT) as response:
        assert next(response.iter_content(10)) == b"." * 10
    assert client.get(f"{URL}/hello", timeout=TIMEOUT).text == "hello"


keeps_its_connection()
keeps_its_cookies()
follows_redirects()
streams_up()
streams_down()
print("done")
