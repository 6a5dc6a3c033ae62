/** A gRPC server that remembers what arrived. The router itself is in the golden calls. */

import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import type { TestContext } from "node:test";

import { create, type DescMethod, fromBinary, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";

import { RouterService } from "@llmrouter/client/v1";

export interface Arrived {
  method: string;
  /** Of the method's type. */
  request: any;
  header(name: string): string | undefined;
  /** What the call had left. */
  timeoutMs: number;
}

/** What a replica does: messages are answered one after the other; `stay` then waits for the caller to leave; a status refuses. */
export interface Behaviour {
  messages?: object[];
  stay?: boolean;
  status?: Partial<grpc.StatusObject>;
}

type Call = grpc.ServerUnaryCall<unknown, unknown> | grpc.ServerWritableStream<unknown, unknown>;

export class Replica {
  address = "";
  readonly arrived: Arrived[] = [];
  /** Paths of calls to other services. */
  readonly others: string[] = [];
  readonly #events = new EventEmitter();
  readonly #server = new grpc.Server();

  static async start(
    context: TestContext,
    behave: (arrived: Arrived) => Behaviour,
    credentials = grpc.ServerCredentials.createInsecure(),
  ): Promise<Replica> {
    const replica = new Replica();
    const server = replica.#server;
    for (const method of RouterService.methods) {
      const path = `/${RouterService.typeName}/${method.name}`;
      const handled = { path, ...serialisation(method), requestStream: false };
      const unary = (call: grpc.ServerUnaryCall<unknown, unknown>, answer: grpc.sendUnaryData<unknown>) => {
        const { messages: [message] = [{}], status, stay } = behave(replica.#remember(method, call));
        if (!stay) answer(status ? error(status) : null, message);
      };
      const stream = (call: grpc.ServerWritableStream<unknown, unknown>) => {
        const { messages = [], status, stay } = behave(replica.#remember(method, call));
        for (const message of messages) call.write(message);
        if (status) call.emit("error", error(status));
        else if (!stay) call.end();
      };
      const responseStream = method.methodKind === "server_streaming";
      server.addService(
        { [method.name]: { ...handled, responseStream } },
        { [method.name]: responseStream ? stream : unary } as grpc.UntypedServiceImplementation,
      );
    }
    const health = "/grpc.health.v1.Health/Watch";
    const bytes = (given: Buffer) => given;
    const raw = { requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes };
    server.addService({ Watch: { path: health, requestStream: false, responseStream: true, ...raw } }, {
      Watch: () => replica.others.push(health),
    } as grpc.UntypedServiceImplementation);
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", credentials, (failed, bound) => (failed ? reject(failed) : resolve(bound)));
    });
    replica.address = `127.0.0.1:${port}`;
    context.after(() => server.forceShutdown());
    return replica;
  }

  /** Settles once a caller has left a call, after this; fails where the deadline ended it. */
  async left(): Promise<void> {
    const [inTime] = await once(this.#events, "left");
    assert(inTime, "the call went on to its deadline");
  }

  /** Settles once a call has come, after this. */
  async called(): Promise<void> {
    await once(this.#events, "called");
  }

  #remember(method: DescMethod, call: Call): Arrived {
    call.on("cancelled", () => this.#events.emit("left", Date.now() < Number(call.getDeadline())));
    const arrived = {
      method: method.name,
      request: call.request,
      header: (name: string) => call.metadata.get(name)[0]?.toString(),
      timeoutMs: Number(call.getDeadline()) - Date.now(),
    };
    this.arrived.push(arrived);
    this.#events.emit("called");
    return arrived;
  }
}

function serialisation({ input, output }: DescMethod) {
  return {
    requestSerialize: (message: Record<string, unknown>) => Buffer.from(toBinary(input, create(input, message))),
    requestDeserialize: (bytes: Buffer) => fromBinary(input, bytes),
    responseSerialize: (message: Record<string, unknown>) => Buffer.from(toBinary(output, create(output, message))),
    responseDeserialize: (bytes: Buffer) => fromBinary(output, bytes),
  };
}

function error(status: Partial<grpc.StatusObject>): grpc.ServiceError {
  const whole = { code: grpc.status.UNKNOWN, details: "", metadata: new grpc.Metadata(), ...status };
  return Object.assign(new Error(whole.details), whole);
}
