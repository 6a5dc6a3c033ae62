/** The API's messages, enums and services, as generated from `protos/`: `import { Role } from "@llmrouter/client/v1"`. */

export * from "./gen/llmrouter/v1/admin_service_pb.js";
export * from "./gen/llmrouter/v1/call_pb.js";
export * from "./gen/llmrouter/v1/chat_pb.js";
export * from "./gen/llmrouter/v1/decision_pb.js";
export * from "./gen/llmrouter/v1/error_pb.js";
export * from "./gen/llmrouter/v1/feedback_pb.js";
export * from "./gen/llmrouter/v1/model_pb.js";
export * from "./gen/llmrouter/v1/receipt_pb.js";
export * from "./gen/llmrouter/v1/router_service_pb.js";
export * from "./gen/llmrouter/v1/stream_pb.js";
export * from "./gen/llmrouter/v1/usage_pb.js";
