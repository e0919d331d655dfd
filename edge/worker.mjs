// The Worker's entry: makes the WebAssembly instance, and makes it anew after a
// trap. A trap leaves an instance in an unknown state, so nothing of it is used
// again: caches begin empty, and a Durable Object reads its count from storage.
import module from "./agentidp_edge_bg.wasm";
import * as edge from "./agentidp_edge.js";

edge.initSync({ module });
let generation = 0;

// What goes on after a wait goes on in here, and a trap there would end no promise: the request
// that it costs is ended by the runtime, which sees that nothing will answer it.
const later = globalThis.queueMicrotask;
globalThis.queueMicrotask = (task) => {
  const mine = generation;
  later(() => {
    try {
      task();
    } catch (error) {
      broken(error, mine);
    }
  });
};

// A call's answer, or a promise of it.
function guarded(call) {
  const mine = generation;
  try {
    const answer = call();
    return answer instanceof Promise ? answer.catch((error) => failed(error, mine)) : answer;
  } catch (error) {
    return failed(error, mine);
  }
}

// What an error leaves of the instance.
function broken(error, mine) {
  console.error("edge:", error);
  if (error instanceof WebAssembly.RuntimeError && mine === generation) {
    edge.__wbg_reset_state();
    generation += 1;
  } else {
    // What was thrown right through the WebAssembly left no end to its turn.
    edge.endTurn();
  }
}

function failed(error, mine) {
  broken(error, mine);
  return Response.json(
    { code: "SERVICE_UNAVAILABLE", message: "The edge failed." },
    { status: 503, headers: { "Retry-After": "1", "Cache-Control": "no-store" } },
  );
}

export default {
  fetch: (request, env, context) =>
    guarded(() => {
      const authorization = request.headers.get("Authorization") ?? undefined;
      return edge.fetch(request, request.url, authorization, Date.now(), env, context);
    }),
};

export class ClientLimit {
  #state;
  #env;
  #inner;
  #generation;

  constructor(state, env) {
    this.#state = state;
    this.#env = env;
  }

  fetch(request) {
    return guarded(() => this.#current().fetch(request));
  }

  // One that fails is repeated by the runtime.
  async alarm() {
    const mine = generation;
    try {
      await this.#current().alarm();
    } catch (error) {
      broken(error, mine);
      throw error;
    }
  }

  #current() {
    if (this.#generation !== generation) {
      this.#inner = new edge.ClientLimit(this.#state, this.#env);
      this.#generation = generation;
    }
    return this.#inner;
  }
}

export class AddressLimit {
  #state;
  #env;
  #inner;
  #generation;

  constructor(state, env) {
    this.#state = state;
    this.#env = env;
  }

  fetch(request) {
    return guarded(() => {
      if (this.#generation !== generation) {
        this.#inner = new edge.AddressLimit(this.#state, this.#env);
        this.#generation = generation;
      }
      return this.#inner.fetch(request);
    });
  }
}
