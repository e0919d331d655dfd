// npm `oauth4webapi`, strict as it is: discovers the server by both metadata forms,
// gets a token both ways, uses it at the edge, introspects it and revokes it.
import assert from "node:assert/strict";
import * as oauth from "oauth4webapi";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, RESOURCE, EDGE_URL } = process.env;
const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(ISSUER);
const client = { client_id: CLIENT_ID };

let server;
for (const algorithm of ["oauth2", "oidc"]) {
  const response = await oauth.discoveryRequest(issuer, { algorithm, ...insecure });
  server = await oauth.processDiscoveryResponse(issuer, response);
}
console.log("discovered", server.issuer);

for (const method of [oauth.ClientSecretBasic(CLIENT_SECRET), oauth.ClientSecretPost(CLIENT_SECRET)]) {
  const parameters = new URLSearchParams({ scope: "files:read", resource: RESOURCE });
  const response = await oauth.clientCredentialsGrantRequest(server, client, method, parameters, insecure);
  const granted = await oauth.processClientCredentialsResponse(server, client, response);
  assert.equal(granted.token_type, "bearer");
  assert.equal(granted.scope, "files:read");
  const token = granted.access_token;

  // As a resource server: strictly RFC 9068.
  const request = new Request(`${RESOURCE}/x`, { headers: { authorization: `Bearer ${token}` } });
  const claims = await oauth.validateJwtAccessToken(server, request, RESOURCE, {
    ...insecure,
    signingAlgorithms: ["EdDSA", "Ed25519"],
  });
  assert.equal(claims.client_id, CLIENT_ID);

  const used = await oauth.protectedResourceRequest(token, "GET", new URL("/hello", EDGE_URL), undefined, undefined, insecure);
  assert.equal(used.status, 200);
  assert.equal((await used.json()).headers["x-agent-id"], CLIENT_ID);

  const introspect = async () => {
    const response = await oauth.introspectionRequest(server, client, method, token, insecure);
    return oauth.processIntrospectionResponse(server, client, response);
  };
  assert.equal((await introspect()).active, true);

  const revoked = await oauth.revocationRequest(server, client, method, token, insecure);
  await oauth.processRevocationResponse(revoked);
  assert.deepEqual(await introspect(), { active: false });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await assert.rejects(
    oauth.protectedResourceRequest(token, "GET", new URL("/hello", EDGE_URL), undefined, undefined, insecure),
    (error) => error instanceof oauth.WWWAuthenticateChallengeError && error.cause[0].parameters.error === "invalid_token",
  );
}

const wrong = oauth.ClientSecretBasic(`${CLIENT_SECRET}x`);
const refused = await oauth.clientCredentialsGrantRequest(server, client, wrong, new URLSearchParams(), insecure);
await assert.rejects(
  oauth.processClientCredentialsResponse(server, client, refused),
  (error) => error instanceof oauth.WWWAuthenticateChallengeError || error.error === "invalid_client",
);
console.log("done");
