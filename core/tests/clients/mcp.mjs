// npm `@modelcontextprotocol/sdk`, server and client, through the edge: the server listens on
// ORIGIN_PORT, the client knows the edge alone. The token is got by client_credentials.
// Its scopes allow tools/call, and not what the tool delete_file needs beside that.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport, StreamableHTTPError } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { z } from "zod";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, RESOURCE, EDGE_URL, ORIGIN_PORT, METADATA_URL } = process.env;
const SCOPE = "mcp:read files:read";
const NEEDED = "mcp:read files:read files:write trash:write";

// The server, with sessions. It believes what the edge says of who is calling.
const sessions = new Map();
const seen = [];
function tools() {
  const server = new McpServer({ name: "files", version: "1.0.0" });
  server.registerTool("read_file", { inputSchema: { path: z.string() } }, async ({ path }, { requestInfo, sendNotification, _meta }) => {
    for (const progress of _meta?.progressToken === undefined ? [] : [1, 2]) {
      const params = { progressToken: _meta.progressToken, progress, total: 2 };
      await sendNotification({ method: "notifications/progress", params });
    }
    return { content: [{ type: "text", text: `${path} for ${requestInfo.headers["x-agent-id"]}` }] };
  });
  server.registerTool("delete_file", { inputSchema: { path: z.string() } }, async () => {
    throw new Error("the edge let it through");
  });
  return server;
}
const origin = createServer(async (request, response) => {
  seen.push(`${request.method} ${request.headers.authorization ?? "without a token"}`);
  let transport = sessions.get(request.headers["mcp-session-id"]);
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await tools().connect(transport);
  }
  await transport.handleRequest(request, response);
});
await new Promise((resolve) => origin.listen(Number(ORIGIN_PORT), "127.0.0.1", resolve));

const granted = await fetch(`${ISSUER}/api/v1/token`, {
  method: "POST",
  headers: { authorization: `Basic ${btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)}` },
  body: new URLSearchParams({ grant_type: "client_credentials", scope: SCOPE, resource: RESOURCE }),
});
const { access_token: token } = await granted.json();
assert.equal(granted.status, 200);

// What came back, beside what the SDK makes of it.
const answers = [];
const recorded = async (url, init) => {
  const answer = await fetch(url, init);
  answers.push({ method: init?.method ?? "GET", status: answer.status, type: answer.headers.get("content-type"), challenge: answer.headers.get("www-authenticate") });
  return answer;
};
const connect = async (headers) => {
  const client = new Client({ name: "agent", version: "1.0.0" });
  const transport = new StreamableHTTPClientTransport(new URL("/mcp", EDGE_URL), { fetch: recorded, requestInit: { headers } });
  await client.connect(transport);
  return { client, transport };
};

// Without a token there is a challenge that leads to the metadata.
await assert.rejects(connect({}), (error) => error instanceof StreamableHTTPError && error.code === 401);
assert.equal(answers[0].challenge, `Bearer realm="agentidp", resource_metadata="${METADATA_URL}", scope="mcp:read"`);
assert.deepEqual(seen, []);
console.log("refused without a token");

const { client, transport } = await connect({ authorization: `Bearer ${token}` });
assert.ok(transport.sessionId);
assert.equal(client.getServerVersion().name, "files");
const { tools: offered } = await client.listTools();
assert.deepEqual(offered.map((tool) => tool.name).sort(), ["delete_file", "read_file"]);
console.log("initialized", transport.protocolVersion);

// A call whose progress comes as server-sent events before its result.
const progress = [];
const read = await client.callTool({ name: "read_file", arguments: { path: "/a" } }, undefined, { onprogress: (step) => progress.push(step.progress) });
assert.equal(read.content[0].text, `/a for ${CLIENT_ID}`);
assert.deepEqual(progress, [1, 2]);
assert.ok(answers.at(-1).type.startsWith("text/event-stream"));
console.log("called a tool that its scopes allow");

await assert.rejects(
  client.callTool({ name: "delete_file", arguments: { path: "/a" } }),
  (error) => error instanceof StreamableHTTPError && error.code === 403,
);
assert.equal(
  answers.at(-1).challenge,
  `Bearer realm="agentidp", error="insufficient_scope", error_description="Token lacks a scope that this call needs.", resource_metadata="${METADATA_URL}", scope="${NEEDED}"`,
);
// The session goes on.
assert.equal((await client.callTool({ name: "read_file", arguments: { path: "/b" } })).isError ?? false, false);
console.log("refused a tool whose scope is missing");

// The stream that the client keeps open, and the end of the session.
assert.ok(answers.some((answer) => answer.method === "GET" && answer.status === 200 && answer.type.startsWith("text/event-stream")));
await transport.terminateSession();
assert.equal(answers.at(-1).method, "DELETE");
assert.equal(answers.at(-1).status, 200);
await client.close();
// The route removes the token.
assert.ok(seen.length > 5 && seen.every((line) => line.endsWith("without a token")), seen.join("\n"));
origin.closeAllConnections();
origin.close();
console.log("done");
