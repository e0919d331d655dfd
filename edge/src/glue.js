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

// A question to the core and its answer, whose body has at most so many bytes and is
// there in time. Redirects are handed back. A connection that was kept may have been
// closed by the core just when this was sent on it: then it is asked once more.
export async function ask(url, authorization, body, most, patience) {
  const headers = {};
  if (authorization !== undefined) headers["Authorization"] = authorization;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const signal = AbortSignal.timeout(patience);
  const method = body === undefined ? "GET" : "POST";
  const init = { method, headers, body, redirect: "manual", signal };
  const response = await fetch(url, init).catch((error) => {
    if (signal.aborted) throw error;
    return fetch(url, init);
  });
  const chunks = [];
  let length = 0;
  // Leaving the loop gives the rest of the body up.
  for await (const chunk of response.body ?? []) {
    length += chunk.byteLength;
    if (length > most) throw new Error(`${url} answered with more than ${most} bytes`);
    chunks.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return {
    status: response.status,
    kind: response.headers.get("Content-Type") ?? "",
    age: response.headers.get("Age") ?? "",
    body: whole.buffer,
  };
}
