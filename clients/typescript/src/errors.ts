import { fromBinary } from "@bufbuild/protobuf";
import { type Any, anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { type ServiceError, status } from "@grpc/grpc-js";

import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import { type ReceiptSummary, ReceiptSummarySchema } from "./gen/llmrouter/v1/error_pb.js";

const DOMAIN = "llmrouter";
const DETAILS = "grpc-status-details-bin";

/** The name of a gRPC status code, such as `"RESOURCE_EXHAUSTED"`. */
export type StatusCode = keyof typeof status;

/** A bad field: its path in the request, such as `chat.messages[2].role`, and what is wrong with it. */
export interface Violation {
  readonly field: string;
  readonly description: string;
}

/** Why a call failed. `message` says what happened and what to do; `cause` is gRPC's own error, or the signal's reason. */
export class RouterError extends Error {
  /** The gRPC status code by name. */
  readonly code: StatusCode;
  /** A name of the API's `ErrorReason` without its prefix, such as `"ATTEMPTS_EXHAUSTED"`; empty where the router was never reached. */
  readonly reason: string;
  /** What the reason is about, such as `{ limit: "free-rpm" }`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** When to come back, in milliseconds; undefined where the router gave no hint, and where waiting does not help. */
  readonly retryDelayMs: number | undefined;
  /** The fields at fault, of `INVALID_ARGUMENT`. */
  readonly violations: readonly Violation[];
  /** What was attempted and spent; undefined where nothing was. `Client.receipt` has the whole account. */
  readonly receiptSummary: ReceiptSummary | undefined;
  /** The call's request id, which finds its receipt. */
  readonly requestId: string;

  /** Built by the client from gRPC's error. */
  constructor(failed: ServiceError, requestId: string, cause: unknown = failed) {
    super(failed.details, { cause });
    this.name = "RouterError";
    const details = detailsOf(failed);
    const info = details.map((any) => anyUnpack(any, ErrorInfoSchema)).find((one) => one?.domain === DOMAIN);
    const retry = details.map((any) => anyUnpack(any, RetryInfoSchema)).find((one) => one?.retryDelay);
    this.code = (status[failed.code] as StatusCode | undefined) ?? "UNKNOWN";
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    this.retryDelayMs = retry?.retryDelay && durationMs(retry.retryDelay);
    this.violations = details
      .flatMap((any) => anyUnpack(any, BadRequestSchema)?.fieldViolations ?? [])
      .map(({ field, description }) => ({ field, description }));
    this.receiptSummary = details.map((any) => anyUnpack(any, ReceiptSummarySchema)).find((one) => one !== undefined);
    this.requestId = requestId;
  }

  /** What a log needs: the reason, else the code, the message, and the request id. */
  override toString(): string {
    return `${this.name}: ${this.reason || this.code}: ${this.message} (request ${this.requestId})`;
  }
}

/** The status's details; none where a proxy in between sent what is no status. */
function detailsOf(failed: ServiceError): Any[] {
  const [packed] = failed.metadata.get(DETAILS);
  if (!Buffer.isBuffer(packed)) return [];
  try {
    return fromBinary(StatusSchema, packed).details;
  } catch {
    return [];
  }
}
