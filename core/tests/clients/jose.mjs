// npm `jose` verifies an access token as a resource server would: from the issuer's
// key set alone, strictly by RFC 9068.
import assert from "node:assert/strict";
import { createRemoteJWKSet, jwtVerify } from "jose";

const { ISSUER, TOKEN, RESOURCE, ALG } = process.env;
const keys = createRemoteJWKSet(new URL("/.well-known/jwks.json", ISSUER));
const options = {
  issuer: ISSUER,
  audience: RESOURCE,
  typ: "at+jwt",
  algorithms: [ALG],
  requiredClaims: ["exp", "iat", "sub", "client_id", "jti", "scope", "org_id"],
  maxTokenAge: "1h",
};
const { payload } = await jwtVerify(TOKEN, keys, options);
assert.equal(payload.sub, payload.client_id);

await assert.rejects(jwtVerify(TOKEN, keys, { ...options, audience: "https://other.example" }));
const [header, claims, signature] = TOKEN.split(".");
const swapped = Buffer.from(JSON.stringify({ ...payload, scope: "all" })).toString("base64url");
await assert.rejects(jwtVerify(`${header}.${swapped}.${signature}`, keys, options));
assert.notEqual(swapped, claims);
console.log(ALG, "done");
