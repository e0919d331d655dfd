// The same with npm's @tsndr/cloudflare-worker-jwt, which knows no EdDSA. It checks
// neither issuer nor audience by itself.
import { verify } from "./tsndr/index.js";

let key;

export default {
  async fetch(request, env) {
    const token = request.headers.get("Authorization")?.slice("Bearer ".length) ?? "";
    try {
      key ??= await crypto.subtle.importKey(
        "jwk",
        JSON.parse(env.JWK),
        { name: "ECDSA", namedCurve: "P-256" },
        false,
        ["verify"],
      );
      const verified = await verify(token, key, { algorithm: env.ALG, throwError: true });
      const { payload } = verified;
      if (payload.iss !== env.ISSUER || payload.aud !== env.AUDIENCE) throw new Error("another one's");
      return Response.json(payload);
    } catch {
      return Response.json({ error: "invalid_token" }, { status: 401 });
    }
  },
};
