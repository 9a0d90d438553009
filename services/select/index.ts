// services/select/index.ts: what compositions may use of the select service.
export type { QueryRecord } from "./active-queries.ts";
export { type DeletionRoutesOptions, deletionRoutes } from "./deletion-endpoints.ts";
export { fanOutDeletions } from "./deletion-fan-out.ts";
export { type FanOutNode, fanOut } from "./fan-out.ts";
export type { ProcessFacts } from "./process-endpoints.ts";
export { createSelectApi, type SelectApi, type SelectOptions } from "./routes.ts";
export { type StartPageState, startPageRoute } from "./start-page.ts";
export { PROMETHEUS_VERSION } from "./status-endpoints.ts";
