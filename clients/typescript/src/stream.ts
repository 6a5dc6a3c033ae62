import { Answer } from "./answer.js";
import { RouterError } from "./errors.js";
import type { StreamCompleteResponse } from "./gen/llmrouter/v1/router_service_pb.js";
import type { Finished } from "./gen/llmrouter/v1/stream_pb.js";

type Known = Exclude<StreamCompleteResponse["event"], { case: undefined }>;

/** One event: `case` tells which, `value` is its message, `sequence` its place in the stream, from 1. */
export type StreamEvent = Known & { readonly sequence: bigint };

/**
 * One streamed answer. Read it once, with `for await` or by `text()`; the call begins then. The decision comes first and
 * `finished` last. Leaving the loop early ends the call, at the provider too; `Client.receipt` then says what it cost.
 */
export class AnswerStream implements AsyncIterable<StreamEvent> {
  /** Finds the receipt of the call, also of one that was left early. */
  readonly requestId: string;

  readonly #open: (signal: AbortSignal) => AsyncIterable<StreamCompleteResponse>;
  readonly #left = new AbortController();
  #read = false;
  #finished: Finished | undefined;

  /** Built by the client. */
  constructor(requestId: string, open: (left: AbortSignal) => AsyncIterable<StreamCompleteResponse>) {
    this.requestId = requestId;
    this.#open = open;
  }

  /** The last event once it was read. A failed stream has one too, with the receipt, where the router could still send it. */
  get finished(): Finished | undefined {
    return this.#finished;
  }

  /** The whole answer once the stream was read to its end; undefined before, and where it failed. */
  get answer(): Answer | undefined {
    return this.#finished?.message && new Answer(this.#finished);
  }

  [Symbol.asyncIterator](): AsyncGenerator<StreamEvent, void, undefined> {
    return this.#leavable(this.#events());
  }

  /** The answer's text alone, piece by piece. With `acceptDiscard` read the events instead, which say what to forget. */
  text(): AsyncGenerator<string, void, undefined> {
    return this.#leavable(this.#text());
  }

  async *#events(): AsyncGenerator<StreamEvent, void, undefined> {
    if (this.#read) throw new Error("This stream was read already; call stream again for another answer");
    this.#read = true;
    try {
      for await (const { event, sequence } of this.#open(this.#left.signal)) {
        if (event.case === undefined) continue; // it is newer than this client
        if (event.case === "finished") this.#finished = event.value;
        yield { ...event, sequence };
      }
    } catch (error) {
      if (!(this.#left.signal.aborted && error instanceof RouterError && error.code === "CANCELLED")) throw error;
    }
  }

  async *#text(): AsyncGenerator<string, void, undefined> {
    for await (const event of this.#events()) {
      if (event.case === "textDelta" && event.value.text) yield event.value.text;
    }
  }

  /** A generator that is left waits for its next value first; this one ends the call at once. */
  #leavable<T>(events: AsyncGenerator<T, void, undefined>): AsyncGenerator<T, void, undefined> {
    const leave = events.return.bind(events);
    events.return = (value) => {
      this.#left.abort();
      return leave(value);
    };
    return events;
  }
}
