// Runs the edge in miniflare, as wrangler.toml binds it: Durable Objects with
// their migrations, the same modules. The variables come from the environment.
//   node miniflare.mjs PORT OBJECTS_FOLDER
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Miniflare } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";

const [port, objects] = process.argv.slice(2);
const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const config = join(root, "wrangler.toml");
const { workerOptions, main } = unstable_getMiniflareWorkerOptions(config);
const secrets = unstable_readConfig({ config }).secrets?.required ?? [];

// The entry first; what wasm-bindgen names .js is a module too.
const bundle = process.env.EDGE_BUNDLE ?? dirname(main);
const names = readdirSync(bundle).filter((name) => /\.(mjs|js|wasm)$/.test(name) && name !== "worker.mjs");
const type = (name) => (name.endsWith(".wasm") ? "CompiledWasm" : "ESModule");
const modules = ["worker.mjs", ...names].map((name) => ({ type: type(name), path: join(bundle, name) }));

// What wrangler.toml shows by an example, and the secrets, which it only names.
const bindings = Object.fromEntries(
  [...Object.keys(workerOptions.bindings), ...secrets, "ORIGIN_SECRET", "GATEWAY_SECRET"]
    .filter((name) => process.env[name])
    .map((name) => [name, process.env[name]]),
);
const miniflare = new Miniflare({
  ...workerOptions,
  bindings,
  modules,
  modulesRoot: bundle,
  host: "127.0.0.1",
  port: Number(port),
  durableObjectsPersist: objects,
  telemetry: { enabled: false },
  cf: false,
});
await miniflare.ready;
console.log("ready");
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => miniflare.dispose().finally(() => process.exit(0)));
}
