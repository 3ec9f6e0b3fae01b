// @modelcontextprotocol/sdk, the SDK of version 1.
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { run } from "./journey.mjs";

const finishLogin = (transport, params) => transport.finishAuth(params.get("code"));
await run({ Client, StreamableHTTPClientTransport, UnauthorizedError, finishLogin });
