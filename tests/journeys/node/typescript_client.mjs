// @modelcontextprotocol/client, the SDK of version 2, which reads the whole callback itself.
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { run } from "./journey.mjs";

const finishLogin = (transport, params) => transport.finishAuth(params);
await run({ Client, StreamableHTTPClientTransport, UnauthorizedError, finishLogin });
