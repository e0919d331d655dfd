"""PyPI `Authlib`: discovers the server by both metadata forms, gets a token both
ways, verifies it as a resource server would, uses it at the edge, introspects it
and revokes it."""

import os
import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oauth2.rfc9068.claims import JWTAccessTokenClaims
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

ISSUER, ALG = os.environ["ISSUER"], os.environ["ALG"]
CLIENT_ID, CLIENT_SECRET = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
RESOURCE, EDGE_URL = os.environ["RESOURCE"], os.environ["EDGE_URL"]
# Authlib's way of allowing http, which it never does by itself.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"


def discover():
    documents = []
    for suffix in ["oauth-authorization-server", "openid-configuration"]:
        answer = requests.get(get_well_known_url(ISSUER, external=True, suffix=suffix), timeout=10)
        answer.raise_for_status()
        documents.append(AuthorizationServerMetadata(answer.json()))
    assert documents[0] == documents[1]
    for member in AuthorizationServerMetadata.REGISTRY_KEYS:
        # Required by RFC 8414 §2, and empty while there is no authorization
        # endpoint; Authlib takes an empty list for none.
        if member != "response_types_supported":
            getattr(documents[0], f"validate_{member}")()
    assert documents[0]["response_types_supported"] == []
    assert documents[0]["issuer"] == ISSUER
    return documents[0]


def published():
    return KeySet.import_key_set(requests.get(server["jwks_uri"], timeout=10).json())


class Validator(JWTBearerTokenValidator):
    """RFC 9068 as Authlib has it. It knows the algorithms that `joserfc` takes by
    itself, and EdDSA is not among those."""

    def get_jwks(self):
        return published()

    def authenticate_token(self, token):
        if ALG != "EdDSA":
            return super().authenticate_token(token)
        try:
            read = jwt.decode(token, published(), algorithms=[ALG])
        except JoseError as error:
            raise InvalidTokenError() from error
        required = ["exp", "sub", "client_id", "iat", "jti"]
        options = {claim: {"essential": True} for claim in required}
        options["iss"] = {"essential": True, "value": self.issuer}
        options["aud"] = {"essential": True, "value": self.resource_server}
        return JWTAccessTokenClaims(read.claims, read.header, options)


def verify(token, resource=RESOURCE, scopes=("files:read",)):
    validator = Validator(ISSUER, resource)
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, list(scopes), None)
    return claims


def refuses(error, act, *arguments, **named):
    try:
        act(*arguments, **named)
    except error as refused:
        return refused
    raise AssertionError(f"{act} did not raise {error}")


def session(method, secret=CLIENT_SECRET):
    return OAuth2Session(
        CLIENT_ID,
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
    )


def use(client):
    return client.get(f"{EDGE_URL}/hello", timeout=10)


server = discover()
print("discovered", server["issuer"])

for method in ["client_secret_basic", "client_secret_post"]:
    client = session(method)
    granted = client.fetch_token(
        server["token_endpoint"],
        grant_type="client_credentials",
        scope="files:read",
        resource=RESOURCE,
    )
    assert granted["token_type"].lower() == "bearer"
    assert granted["scope"] == "files:read"
    token = granted["access_token"]

    claims = verify(token)
    assert claims.header["alg"] == ALG
    # Authlib lets a token without `typ` pass; RFC 9068 §4 does not.
    assert claims.header["typ"] == "at+jwt"
    assert claims["client_id"] == claims["sub"] == CLIENT_ID
    refuses(InvalidTokenError, verify, token, resource=f"{RESOURCE}/other")
    refuses(InsufficientScopeError, verify, token, scopes=["files:write"])
    head, body, signature = token.split(".")
    first = "A" if signature[0] != "A" else "B"
    refuses(InvalidTokenError, verify, f"{head}.{body}.{first}{signature[1:]}")

    used = use(client)
    assert used.status_code == 200, used.text
    assert used.json()["headers"]["x-agent-id"] == CLIENT_ID

    described = client.introspect_token(server["introspection_endpoint"], token=token).json()
    assert described["active"] is True and described["client_id"] == CLIENT_ID
    revoked = client.revoke_token(server["revocation_endpoint"], token=token)
    assert revoked.status_code == 200, revoked.text
    described = client.introspect_token(server["introspection_endpoint"], token=token).json()
    assert described == {"active": False}
    time.sleep(2)
    used = use(client)
    assert used.status_code == 401, used.text
    assert 'error="invalid_token"' in used.headers["www-authenticate"]

    wrong = session(method, f"{CLIENT_SECRET}x")
    refused = refuses(OAuthError, wrong.fetch_token, server["token_endpoint"], grant_type="client_credentials")
    assert refused.error == "invalid_client"

print(ALG, "done")
