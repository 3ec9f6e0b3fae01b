// What a client keeps between runs, in one file, behind the OAuthClientProvider interface that both SDKs ask for.
import { randomUUID } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

export class FileProvider {
  constructor({ store, redirectUrl, metadata }) {
    this.store = store;
    this.redirectUrl = redirectUrl;
    this.clientMetadata = { client_name: "Journey", redirect_uris: [redirectUrl], ...metadata };
  }

  state() {
    this.expectedState = randomUUID();
    return this.expectedState;
  }

  redirectToAuthorization(url) {
    console.log(`OPEN ${url}`);
  }

  clientInformation = () => this.#read("client");
  saveClientInformation = (client) => this.#write({ client });
  tokens = () => this.#read("tokens");
  saveTokens = (tokens) => this.#write({ tokens });
  codeVerifier = () => this.#read("verifier");
  saveCodeVerifier = (verifier) => this.#write({ verifier });
  discoveryState = () => this.#read("discovery");
  saveDiscoveryState = (discovery) => this.#write({ discovery });

  invalidateCredentials(scope) {
    const names = scope === "all" ? ["client", "tokens", "verifier", "discovery"] : [scope];
    this.#write(Object.fromEntries(names.map((name) => [name, undefined])));
  }

  #read(name) {
    return existsSync(this.store) ? JSON.parse(readFileSync(this.store, "utf8"))[name] : undefined;
  }

  #write(members) {
    const kept = existsSync(this.store) ? JSON.parse(readFileSync(this.store, "utf8")) : {};
    writeFileSync(this.store, JSON.stringify({ ...kept, ...members }));
  }
}
