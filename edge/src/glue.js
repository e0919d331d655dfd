// What would take the WebAssembly many calls, each in one. Nothing is decided here.

// 200 for a gateway. The last three are missing where there is no limit.
export function verified(payload, agent, org, scope, limit, remaining, reset) {
  const headers = {
    "X-Agent-Id": agent,
    "X-Org-Id": org,
    "X-Scope": scope,
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
  };
  if (limit !== undefined) {
    headers["X-RateLimit-Limit"] = limit;
    headers["X-RateLimit-Remaining"] = remaining;
    headers["X-RateLimit-Reset"] = reset;
  }
  return new Response(payload, { headers });
}
