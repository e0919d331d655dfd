# The Worker that does nothing, under workerd alone:
#   workerd serve workerd.capnp --socket-addr=http=127.0.0.1:8787
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [(name = "empty", worker = .empty)],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "empty")],
);

const empty :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "empty_worker.js", esModule = embed "empty_worker.js"),
    (name = "snippet.js", esModule = embed "snippet.js"),
    (name = "empty_worker_bg.wasm", wasm = embed "empty_worker_bg.wasm"),
  ],
  compatibilityDate = "2026-04-01",
);
