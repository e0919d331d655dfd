// npm's oidc-provider on the same work: client_credentials with client_secret_basic,
// a JWT access token for one resource. It keeps everything in memory, and has no
// audit, no limits and no policy. Settings come as one JSON argument:
//   { alg, port, clients: [{ id, secret }], resource, scope, lifetime }
// It prints a line once it listens.
import { generateKeyPair, exportJWK } from "jose";
import Provider from "oidc-provider";

const { alg, port, clients, resource, scope, lifetime } = JSON.parse(process.argv[2]);

const { privateKey } = await generateKeyPair(alg, { extractable: true });
const key = { ...(await exportJWK(privateKey)), alg, use: "sig", kid: "peer" };

const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: { keys: [key] },
  clients: clients.map(({ id, secret }) => ({
    client_id: id,
    client_secret: secret,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
    scope,
    token_endpoint_auth_method: "client_secret_basic",
    // Its keys may be of one kind alone; it signs no ID token here.
    id_token_signed_response_alg: alg,
  })),
  scopes: scope.split(" "),
  enabledJWA: { idTokenSigningAlgValues: [alg] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, asked) => {
        if (asked !== resource) throw new Error("another resource");
        return { scope, audience: resource, accessTokenTTL: lifetime, accessTokenFormat: "jwt", jwt: { sign: { alg } } };
      },
    },
  },
  ttl: { ClientCredentials: lifetime },
});
provider.listen(port, "127.0.0.1", () => console.log("listening"));
