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

// A request's headers as pairs of a name in lower case and a value.
export function pairs(request) {
  return [...request.headers];
}

// A request's whole body; undefined where it is longer than `most` bytes.
export async function whole(request, most) {
  if (Number(request.headers.get("Content-Length") ?? 0) > most) return undefined;
  const pieces = [];
  let length = 0;
  for await (const piece of request.body ?? []) {
    length += piece.length;
    if (length > most) return undefined;
    pieces.push(piece);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return body;
}

// What `fetch` takes, with those pairs but for the dropped ones, the caller's identity and,
// where there is one, the edge's secret.
export function onward(method, pairs, dropped, agent, org, scope, secret, age) {
  const headers = dropped.length ? pairs.filter((_, at) => !dropped.includes(at)) : pairs;
  headers.push(["X-Agent-Id", agent], ["X-Org-Id", org], ["X-Scope", scope]);
  if (secret !== undefined) headers.push(["X-Edge-Secret", secret]);
  if (age !== undefined) headers.push(["X-Revocation-Age", age]);
  return { method, headers, redirect: "manual" };
}

export function send(url, init) {
  return fetch(url, init);
}

// The origin's answer with the limit's figures, which are missing where there is no limit.
export function handBack(response, limit, remaining, reset, age) {
  const { status, statusText, headers } = response;
  const answer = new Response(response.body, { status, statusText, headers });
  if (limit !== undefined) {
    answer.headers.set("X-RateLimit-Limit", limit);
    answer.headers.set("X-RateLimit-Remaining", remaining);
    answer.headers.set("X-RateLimit-Reset", reset);
  }
  if (age !== undefined) answer.headers.set("X-Revocation-Age", age);
  return answer;
}

export function randomUuid() {
  return crypto.randomUUID();
}
