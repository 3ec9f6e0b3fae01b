// One run of a client: connect, log in where that is asked for, call a tool. It talks to the test in lines: "OPEN url"
// goes out when a browser is needed, the query of the callback comes in, "RESULT json" goes out at the end.
import { createInterface } from "node:readline";
import { FileProvider } from "./provider.mjs";

const MAX_LOGINS = 2;

export async function run({ Client, StreamableHTTPClientTransport, UnauthorizedError, finishLogin }) {
  const { url, tool, args, ...kept } = JSON.parse(process.argv[2]);
  const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const authProvider = new FileProvider(kept);

  for (let login = 0; login <= MAX_LOGINS; login += 1) {
    const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider });
    const client = new Client({ name: "journey", version: "1" });
    try {
      await client.connect(transport);
      const result = await client.callTool({ name: tool, arguments: args });
      console.log(`RESULT ${JSON.stringify(result)}`);
      await client.close();
      process.exit(0);
    } catch (error) {
      if (!(error instanceof UnauthorizedError)) throw error;
    }
    const params = new URLSearchParams((await answers.next()).value);
    if (params.get("state") !== authProvider.expectedState) throw new Error("The callback has another state.");
    await finishLogin(transport, params);
  }
  throw new Error("The server asked for a login again and again.");
}
