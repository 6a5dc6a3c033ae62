/** W3C trace context, where OpenTelemetry's API is installed. */

import { createRequire } from "node:module";

type Api = typeof import("@opentelemetry/api");

// It is optional, and what loads it is no promise: a client is usable at once.
const api = installed();

/** The headers of the current span, as the propagator writes them that the application has registered. */
export function traceHeaders(): Record<string, string> {
  const headers: Record<string, string> = {};
  api?.propagation.inject(api.context.active(), headers);
  return headers;
}

function installed(): Api | undefined {
  try {
    return createRequire(import.meta.url)("@opentelemetry/api") as Api;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return undefined;
    throw error;
  }
}
