// The Worker's entry: makes the WebAssembly instance.
import module from "./empty_worker_bg.wasm";
import * as empty from "./empty_worker.js";

empty.initSync({ module });

export default {
  fetch: (request, env, context) => empty.fetch(request, env, context),
};
