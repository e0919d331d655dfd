// The plainest verifier with npm's jose: the key is imported once for an isolate,
// nothing else is kept. No revocation, no limit.
import { importJWK, jwtVerify } from "./jose/index.js";

let key;

export default {
  async fetch(request, env) {
    const token = request.headers.get("Authorization")?.slice("Bearer ".length) ?? "";
    try {
      key ??= await importJWK(JSON.parse(env.JWK), env.ALG);
      const { payload } = await jwtVerify(token, key, {
        algorithms: [env.ALG],
        issuer: env.ISSUER,
        audience: env.AUDIENCE,
        typ: "at+jwt",
      });
      return Response.json(payload);
    } catch {
      return Response.json({ error: "invalid_token" }, { status: 401 });
    }
  },
};
