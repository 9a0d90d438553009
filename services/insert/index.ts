// services/insert/index.ts: what the command line and the HTTP layer use of insert.
export {
  IngestHandler,
  type IngestHandlerOptions,
  InsertStats,
  type WriteReply,
  type WriteRequest,
} from "./handler.ts";
export { DEFAULT_INSERT_LIMITS, type InsertLimits, LIMIT_FLAGS } from "./limits.ts";
export type { OwnerState, OwnerStats } from "./owner-queue.ts";
