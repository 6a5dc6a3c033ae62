/** The server of tests/conformance, whose README.md says what it answers. */

import type { JsonObject } from "@bufbuild/protobuf";

export interface Call {
  method: string;
  request: JsonObject;
  apiKey: string;
  timeoutMs?: number;
  requestId?: string;
  traceparent?: string;
  during?: { events?: number; upstreamTokens?: number; do: string };
}

/** What the client gave its user. */
export interface Outcome {
  requestId?: string;
  answer?: object;
  events?: object[];
  response?: unknown;
  error?: object;
  cancelled?: boolean;
}

interface Reply {
  problems: string[];
  call: Call | null;
}

export class Control {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  async cases(): Promise<string[]> {
    return (await this.#ask<{ name: string }[]>("GET", "/cases")).map(({ name }) => name);
  }

  begin(name: string): Promise<{ session: string; target: string; call: Call }> {
    return this.#ask("POST", `/cases/${name}`);
  }

  report(session: string, outcome: Outcome): Promise<Reply> {
    return this.#ask("POST", `/sessions/${session}/outcome`, outcome);
  }

  /** Has the server `drain`, or `wait?tokens=3`. */
  async askFor(session: string, what: string): Promise<void> {
    await this.#ask("POST", `/sessions/${session}/${what}`);
  }

  async #ask<T>(method: string, path: string, body?: object): Promise<T> {
    const sent = body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
    const response = await fetch(this.#url + path, { method, ...sent });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  }
}
