// npm `openid-client`, which applications use rather than resource servers: discovers
// the server by both metadata forms, gets a token both ways, uses it at the edge,
// introspects it and revokes it.
import assert from "node:assert/strict";
import * as client from "openid-client";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, RESOURCE, EDGE_URL } = process.env;
const insecure = { execute: [client.allowInsecureRequests] };

const configured = (algorithm, authentication) =>
  client.discovery(new URL(ISSUER), CLIENT_ID, undefined, authentication, { algorithm, ...insecure });

for (const [algorithm, authentication] of [
  ["oauth2", client.ClientSecretBasic(CLIENT_SECRET)],
  ["oidc", client.ClientSecretPost(CLIENT_SECRET)],
]) {
  const config = await configured(algorithm, authentication);
  assert.equal(config.serverMetadata().issuer, ISSUER);

  const granted = await client.clientCredentialsGrant(config, { scope: "files:read", resource: RESOURCE });
  assert.equal(granted.token_type, "bearer");
  assert.equal(granted.scope, "files:read");
  assert.ok(granted.expiresIn() > 0 && granted.expiresIn() <= 3600);
  const token = granted.access_token;

  const use = () => client.fetchProtectedResource(config, token, new URL("/hello", EDGE_URL), "GET");
  const used = await use();
  assert.equal(used.status, 200);
  assert.equal((await used.json()).headers["x-agent-id"], CLIENT_ID);

  const described = await client.tokenIntrospection(config, token);
  assert.equal(described.active, true);
  assert.equal(described.client_id, CLIENT_ID);
  assert.equal(described.aud, RESOURCE);

  await client.tokenRevocation(config, token);
  assert.deepEqual(await client.tokenIntrospection(config, token), { active: false });
  await new Promise((resolve) => setTimeout(resolve, 2000));
  await assert.rejects(
    use(),
    (error) => error instanceof client.WWWAuthenticateChallengeError && error.cause[0].parameters.error === "invalid_token",
  );
  console.log(algorithm, "got, used and revoked");
}

for (const authentication of [client.ClientSecretBasic(`${CLIENT_SECRET}x`), client.ClientSecretPost(`${CLIENT_SECRET}x`)]) {
  const config = await configured("oauth2", authentication);
  await assert.rejects(
    client.clientCredentialsGrant(config),
    // By Basic the refusal is a challenge, RFC 6749 §5.2.
    (error) => error instanceof client.WWWAuthenticateChallengeError || error.error === "invalid_client",
  );
}
const config = await configured("oauth2", client.ClientSecretPost(CLIENT_SECRET));
await assert.rejects(
  client.clientCredentialsGrant(config, { resource: `${RESOURCE}/other` }),
  (error) => error.error === "invalid_target",
);
console.log("done");
