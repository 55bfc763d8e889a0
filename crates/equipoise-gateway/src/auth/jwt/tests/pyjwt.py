"""Writes pyjwt.json: keys, and tokens that PyJWT signs with them. Run it as

    pip install pyjwt==2.15.1 cryptography==50.0.2 && python3 pyjwt.py > pyjwt.json

Each run makes other keys. All tokens are issued at 1800000000 and valid for one hour.
"""

import json

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

NOW = 1_800_000_000
CLAIMS = {
    "iss": "https://issuer.test",
    "aud": ["api", "other"],
    "sub": "ann",
    "iat": NOW,
    "nbf": NOW,
    "exp": NOW + 3600,
    "scope": "read write",
    "email": "jörg@a.test",
    "realm_access": {"roles": ["ops", "a,b"]},
}

keys = {
    "rsa": (rsa.generate_private_key(65537, 2048), RSAAlgorithm, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"]),
    "p256": (ec.generate_private_key(ec.SECP256R1()), ECAlgorithm, ["ES256"]),
    "p384": (ec.generate_private_key(ec.SECP384R1()), ECAlgorithm, ["ES384"]),
    "ed25519": (ed25519.Ed25519PrivateKey.generate(), OKPAlgorithm, ["EdDSA"]),
}
secrets = {"HS256": "a" * 32, "HS384": "b" * 48, "HS512": "c" * 64}

recorded = {"jwks": {"keys": []}, "public": {}, "private": {}, "secrets": secrets, "tokens": {}}
for kid, (key, algorithm, names) in keys.items():
    jwk = algorithm.to_jwk(key.public_key(), as_dict=True)
    jwk["kid"] = kid
    recorded["jwks"]["keys"].append(jwk)
    recorded["public"][kid] = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    recorded["private"][kid] = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    for name in names:
        recorded["tokens"][name] = jwt.encode(CLAIMS, key, algorithm=name, headers={"kid": kid})
for name, secret in secrets.items():
    recorded["tokens"][name] = jwt.encode(CLAIMS, secret, algorithm=name)
print(json.dumps(recorded, indent=1))
