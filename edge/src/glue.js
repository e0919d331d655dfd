// What would take the WebAssembly many calls, each in one. Nothing is decided here.

// 200 for a gateway.
export function verified(payload, agent, org, scope, figures, age, verify, limit) {
  const headers = {
    "X-Agent-Id": agent,
    "X-Org-Id": org,
    "X-Scope": scope,
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Server-Timing": `verify;dur=${verify}, limit;dur=${limit}`,
  };
  if (figures.length) tell(headers, figures);
  if (age !== undefined) headers["X-Revocation-Age"] = age;
  return new Response(payload, { headers });
}

// Five figures for each window, the minute first (a limit below 0 is none): its limit, what remains,
// its end in Unix seconds, in how many seconds that is, how many it has.
function tell(headers, figures) {
  let policy = "";
  let rest = "";
  if (figures[0] >= 0) {
    headers["X-RateLimit-Limit"] = figures[0];
    headers["X-RateLimit-Remaining"] = figures[1];
    headers["X-RateLimit-Reset"] = figures[2];
    policy = `"minute";q=${figures[0]};w=${figures[4]}`;
    rest = `"minute";r=${figures[1]};t=${figures[3]}`;
  }
  if (figures.length > 5) {
    const then = policy && ", ";
    policy += `${then}"day";q=${figures[5]};w=${figures[9]}`;
    rest += `${then}"day";r=${figures[6]};t=${figures[8]}`;
  }
  headers["RateLimit-Policy"] = policy;
  headers["RateLimit"] = rest;
}

// A request's headers as pairs of a name in lower case and a value.
export function pairs(request) {
  return [...request.headers];
}

// How long a body may take that is read as a whole, in milliseconds.
const BODY_PATIENCE_MS = 10_000;

// A request's whole body; undefined where it is longer than `most` bytes. Fails where it breaks off
// or takes too long.
export async function whole(request, most) {
  if (Number(request.headers.get("Content-Length") ?? 0) > most) return undefined;
  const pieces = [];
  let length = 0;
  const reader = request.body?.getReader();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader?.cancel("too slow").catch(() => {});
  }, BODY_PATIENCE_MS);
  try {
    for (;;) {
      const { done, value } = (await reader?.read()) ?? { done: true };
      if (late) throw new Error("The body took too long.");
      if (done) break;
      length += value.length;
      if (length > most) return undefined;
      pieces.push(value);
    }
  } finally {
    clearTimeout(timer);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return body;
}

// What `fetch` takes, with those pairs but for the dropped ones, the caller's identity and what
// else the origin is told.
export function onward(method, pairs, dropped, agent, org, scope, secret, age, upgrade) {
  const gone = new Set(dropped);
  const headers = pairs.filter((_, at) => !gone.has(at));
  headers.push(["X-Agent-Id", agent], ["X-Org-Id", org], ["X-Scope", scope]);
  if (secret !== undefined) headers.push(["X-Edge-Secret", secret]);
  if (age !== undefined) headers.push(["X-Revocation-Age", age]);
  if (upgrade) headers.push(["Upgrade", "websocket"]);
  // The origin's bytes are handed back as they are, compressed or not, and never from a cache, which
  // does not know who is calling.
  return { method, headers, redirect: "manual", encodeResponseBody: "manual", cache: "no-store" };
}

// One request to an origin and all that comes of it, under the eyes of `watched`: it is cut as
// soon as that says so. Everything here is in the context of the caller's own request.
export class Exchange {
  #watched;
  #timer;
  #controller = new AbortController();
  // Aborts the answer's body: nothing until there is one.
  #breakOff;
  #sockets = [];
  #broken = false;

  constructor(watched, everyMs) {
    this.#watched = watched;
    this.#timer = setInterval(() => this.#look(), everyMs);
  }

  // The origin's answer, or a rejection.
  send(fetcher, url, init, body, chunked) {
    init.signal = this.#controller.signal;
    if (chunked) {
      // workerd would complete a chunked body that its sender broke off. The origin would take the
      // half for the whole: the request to it is broken off instead.
      const { readable, writable } = new IdentityTransformStream();
      body.pipeTo(writable, { preventAbort: true }).catch(() => {
        this.#broken = true;
        this.#controller.abort();
      });
      init.body = readable;
    } else if (body !== undefined) {
      init.body = body;
    }
    return fetcher === undefined ? fetch(url, init) : fetcher.fetch(url, init);
  }

  // Whether the caller broke its request off.
  get broken() {
    return this.#broken;
  }

  end() {
    clearInterval(this.#timer);
  }

  // The origin's answer as the caller gets it.
  handBack(response, figures, age, verify, limit, origin) {
    const headers = endToEnd(response);
    const told = {};
    if (figures.length) tell(told, figures);
    if (age !== undefined) told["X-Revocation-Age"] = age;
    for (const name in told) headers.set(name, told[name]);
    const timing = `verify;dur=${verify}, limit;dur=${limit}, origin;dur=${origin}`;
    headers.append("Server-Timing", timing);
    const { status, statusText, body, webSocket } = response;
    if (webSocket) {
      return new Response(null, { status, headers, webSocket: this.#couple(webSocket) });
    }
    if (body === null) {
      this.end();
      return new Response(null, { status, statusText, headers });
    }
    const length = headers.get("Content-Length");
    const { readable, writable } =
      length === null ? new IdentityTransformStream() : new FixedLengthStream(Number(length));
    const ended = () => this.end();
    const controller = new AbortController();
    this.#breakOff = () => controller.abort();
    body.pipeTo(writable, { signal: controller.signal }).then(ended, ended);
    return new Response(readable, { status, statusText, headers, encodeBody: "manual" });
  }

  #look() {
    let good = false;
    try {
      good = this.#watched.mayGoOn();
    } catch (error) {
      console.error("edge:", error);
    }
    if (good) return;
    this.end();
    let reason = "The edge failed.";
    try {
      reason = this.#watched.reason();
    } catch {}
    for (const socket of this.#sockets) close(socket, 1008, reason);
    this.#sockets = [];
    // Towards the caller first: an origin's body that is aborted would end as if it were whole.
    if (this.#breakOff) this.#breakOff();
    else this.#controller.abort();
  }

  // Hands messages on between an origin's WebSocket and a new one, whose other end is returned.
  #couple(origin) {
    const [theirs, ours] = Object.values(new WebSocketPair());
    this.#sockets = [origin, ours];
    for (const [from, to] of [[origin, ours], [ours, origin]]) {
      from.binaryType = "arraybuffer";
      from.accept();
      from.addEventListener("message", ({ data }) => {
        if (!this.#sockets.length) return;
        try {
          to.send(data);
        } catch {
          this.#part(1011, "");
        }
      });
      from.addEventListener("close", ({ code, reason }) => {
        close(from, code, reason);
        this.#part(code, reason);
      });
      from.addEventListener("error", () => this.#part(1011, ""));
    }
    return theirs;
  }

  #part(code, reason) {
    this.end();
    for (const socket of this.#sockets) close(socket, code, reason);
    this.#sockets = [];
  }
}

// An answer's headers without those of its connection.
function endToEnd(response) {
  const headers = new Headers(response.headers);
  for (const name of headers.get("Connection")?.split(",") ?? []) {
    if (/^[\w!#$%&'*+.^`|~-]+$/.test(name.trim())) headers.delete(name.trim());
  }
  for (const name of OF_THE_CONNECTION) headers.delete(name);
  return headers;
}

// A token request to the core and its answer: the body as it is, the headers that matter, and the
// caller's address. Nothing where the body is longer than `most` bytes.
export async function handThrough(request, url, address, most, patience) {
  const body = await whole(request, most);
  if (body === undefined) return undefined;
  const headers = new Headers();
  for (const name of ["Accept", "Authorization", "Content-Type"]) {
    const value = request.headers.get(name);
    if (value !== null) headers.set(name, value);
  }
  if (address !== undefined) headers.set("X-Forwarded-For", address);
  const signal = AbortSignal.timeout(patience);
  const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal });
  return new Response(response.body, { status: response.status, headers: endToEnd(response) });
}

// RFC 9110 §7.6.1, and what workerd itself says of a WebSocket.
const OF_THE_CONNECTION = [
  "Connection",
  "Keep-Alive",
  "Proxy-Connection",
  "TE",
  "Trailer",
  "Transfer-Encoding",
  "Upgrade",
  "Sec-WebSocket-Accept",
  "Sec-WebSocket-Extensions",
];

// RFC 6455 §7.4.1: some codes only say what was not received.
function close(socket, code, reason) {
  try {
    if ([1004, 1005, 1006, 1015].includes(code)) socket.close();
    else socket.close(code, reason);
  } catch {
    // Nobody may send such a code, or it was closed before.
    try {
      socket.close(1002);
    } catch {}
  }
}

export function message(error) {
  return String(error).replaceAll("\n", " ");
}

export function randomUuid() {
  return crypto.randomUUID();
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
