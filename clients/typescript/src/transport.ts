/** gRPC calls of protobuf-es services: what every call carries, how it ends, and how it fails. */

import { randomUUID } from "node:crypto";

import {
  create,
  type DescMessage,
  type DescMethod,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { type ConnectOptions, channelOptions, credentialsFor, keyFor, metadataText, targetOf } from "./channel.js";
import { RouterError } from "./errors.js";
import type { CallOptions } from "./options.js";
import { traceHeaders } from "./trace.js";

const DEFAULT_TIMEOUT_MS = 60_000;

/** The methods of a service, as generated code describes them. */
export type Stub<S extends DescService> = {
  [Name in keyof S["method"]]: S["method"][Name] extends DescMethodUnary<infer I, infer O>
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
    : S["method"][Name] extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageInitShape<I>, options?: CallOptions) => AsyncGenerator<MessageShape<O>, void, undefined>
      : never;
};

interface Cancellable {
  cancel(): void;
}

/** A channel to the router, whose calls have a deadline, a request id, the key and a trace context. */
export class Transport {
  readonly #client: grpc.Client;
  readonly #apiKey: string;
  readonly #timeoutMs: number;
  readonly #running = new Set<Cancellable>();
  #closed = false;

  constructor(address: string, options: ConnectOptions) {
    const target = targetOf(address);
    this.#apiKey = keyFor(target, options);
    this.#timeoutMs = positive(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
    this.#client = new grpc.Client(target, credentialsFor(options), {
      ...channelOptions(target),
      ...options.channelOptions,
    });
  }

  /** Ends the connections. Calls in progress are cancelled, which gRPC's own `close` leaves out. */
  close(): void {
    this.#closed = true;
    for (const call of this.#running) call.cancel();
    this.#client.close();
  }

  stub<S extends DescService>(service: S): Stub<S> {
    const methods = service.methods.map((method) => [
      method.localName,
      (request: MessageInitShape<DescMessage>, options: CallOptions = {}) =>
        method.methodKind === "server_streaming"
          ? this.stream(method as DescMethodServerStreaming, request, options)
          : this.unary(method as DescMethodUnary, request, options),
    ]);
    return Object.fromEntries(methods) as Stub<S>;
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
  ): Promise<MessageShape<O>> {
    const { requestId, signal, body, metadata, deadline } = this.#outgoing(method, request, options);
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        pathOf(method),
        Buffer.from,
        (bytes) => fromBinary(method.output, bytes),
        body,
        metadata,
        { deadline },
        (failed, response) => {
          letGo();
          if (failed) reject(told(failed, requestId, signal));
          else resolve(response as MessageShape<O>);
        },
      );
      const letGo = this.#watch(call, signal);
    });
  }

  /** Leaving the generator ends the call; `left` does so while a message is awaited. */
  async *stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions,
    left?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    const { requestId, signal, body, metadata, deadline } = this.#outgoing(method, request, options);
    const deserialize = (bytes: Buffer) => fromBinary(method.output, bytes);
    const call = this.#client.makeServerStreamRequest(pathOf(method), Buffer.from, deserialize, body, metadata, {
      deadline,
    });
    // A call that is left ends with a status that nobody awaits any more.
    call.on("error", () => {});
    const letGo = this.#watch(call, signal, left);
    try {
      for await (const message of call) yield message as MessageShape<O>;
    } catch (failed) {
      throw isServiceError(failed) ? told(failed, requestId, signal) : failed;
    } finally {
      letGo();
      call.cancel();
    }
  }

  /** What a call leaves with. Throws before anything is sent, for what cannot be. */
  #outgoing<I extends DescMessage>(method: DescMethod & { input: I }, request: MessageInitShape<I>, options: CallOptions) {
    if (this.#closed) throw new Error("This client is closed; connect another");
    const { requestId = newId(), signal } = options;
    const headers = options.traceparent === undefined ? traceHeaders() : { traceparent: options.traceparent };
    const metadata = new grpc.Metadata();
    for (const [name, value] of Object.entries({ ...headers, "x-request-id": requestId })) {
      metadata.set(name, metadataText(name, value));
    }
    if (this.#apiKey) metadata.set("authorization", `Bearer ${this.#apiKey}`);
    const body = toBinary(method.input, create(method.input, request));
    const deadline = Date.now() + positive(options.timeoutMs ?? this.#timeoutMs);
    if (signal?.aborted) throw cancelled(requestId, signal);
    return { requestId, signal, body, metadata, deadline };
  }

  /** Has the call end with any of the signals and with this client; what is returned lets go of all. */
  #watch(call: Cancellable, ...signals: (AbortSignal | undefined)[]): () => void {
    const cancel = () => call.cancel();
    this.#running.add(call);
    // AbortSignal.any would do, but Node.js 20 keeps what it makes of a signal for as long as the signal lives.
    for (const signal of signals) signal?.addEventListener("abort", cancel);
    return () => {
      this.#running.delete(call);
      for (const signal of signals) signal?.removeEventListener("abort", cancel);
    };
  }
}

export function newId(): string {
  return randomUUID();
}

function pathOf(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function positive(timeoutMs: number): number {
  if (!(timeoutMs > 0 && Number.isFinite(timeoutMs))) {
    throw new TypeError(`timeoutMs is more than 0 milliseconds, not ${timeoutMs}`);
  }
  return timeoutMs;
}

function isServiceError(error: unknown): error is grpc.ServiceError {
  return error instanceof Error && "metadata" in error && "details" in error;
}

function told(failed: grpc.ServiceError, requestId: string, signal: AbortSignal | undefined): RouterError {
  const aborted = failed.code === grpc.status.CANCELLED && signal?.aborted;
  return new RouterError(failed, requestId, aborted ? signal.reason : failed);
}

/** A call that was never sent, since its signal had been aborted. */
function cancelled(requestId: string, signal: AbortSignal): RouterError {
  const details = "Cancelled before it was sent";
  const status = { code: grpc.status.CANCELLED, details, metadata: new grpc.Metadata() };
  return new RouterError(Object.assign(new Error(details), status), requestId, signal.reason);
}
