# The edge under workerd alone, without Node: for `agentidp dev`, for compose and
# for the tests. The variables come from the environment; the port and the
# objects' folder from the command line:
#   workerd serve workerd.capnp --socket-addr=http=127.0.0.1:8787 --directory-path=objects=DIR
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    # The core and the origin are on private addresses as often as not.
    (name = "network", network = (allow = ["public", "private", "local"],
                                  tlsOptions = (trustBrowserCas = true))),
    (name = "objects", disk = (writable = true)),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8787", http = (), service = "edge")],
);

const edge :Workerd.Worker = (
  modules = [
    (name = "worker.mjs", esModule = embed "worker.mjs"),
    (name = "agentidp_edge.js", esModule = embed "agentidp_edge.js"),
    (name = "snippet.js", esModule = embed "snippet.js"),
    (name = "glue.js", esModule = embed "glue.js"),
    (name = "agentidp_edge_bg.wasm", wasm = embed "agentidp_edge_bg.wasm"),
  ],
  compatibilityDate = "2026-04-01",
  bindings = [
    (name = "CORE_URL", fromEnvironment = "CORE_URL"),
    (name = "ISSUER_URL", fromEnvironment = "ISSUER_URL"),
    (name = "EDGE_ID", fromEnvironment = "EDGE_ID"),
    (name = "EDGE_SECRET", fromEnvironment = "EDGE_SECRET"),
    (name = "RESOURCES", fromEnvironment = "RESOURCES"),
    (name = "REQUIRED_SCOPES", fromEnvironment = "REQUIRED_SCOPES"),
    (name = "ORIGIN_URL", fromEnvironment = "ORIGIN_URL"),
    (name = "ROUTES", fromEnvironment = "ROUTES"),
    (name = "ORIGIN_SECRET", fromEnvironment = "ORIGIN_SECRET"),
    (name = "GATEWAY_SECRET", fromEnvironment = "GATEWAY_SECRET"),
    (name = "INTROSPECTION_CLIENTS", fromEnvironment = "INTROSPECTION_CLIENTS"),
    (name = "EDGE_LOG", fromEnvironment = "EDGE_LOG"),
    (name = "TOKEN_PASS_THROUGH", fromEnvironment = "TOKEN_PASS_THROUGH"),
    (name = "TOKEN_REQUESTS_PER_MINUTE", fromEnvironment = "TOKEN_REQUESTS_PER_MINUTE"),
    (name = "CLIENT_ADDRESS_HEADER", fromEnvironment = "CLIENT_ADDRESS_HEADER"),
    (name = "CLIENT_LIMITS", durableObjectNamespace = "ClientLimit"),
    (name = "ADDRESS_LIMITS", durableObjectNamespace = "AddressLimit"),
  ],
  durableObjectNamespaces = [
    (className = "ClientLimit", uniqueKey = "agentidp-client-limit", enableSql = true),
    (className = "AddressLimit", uniqueKey = "agentidp-address-limit", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "objects"),
  globalOutbound = "network",
);
