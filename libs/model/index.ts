// libs/model/index.ts: what every other folder may use of the model.
export * from "./deletion.ts";
export * from "./errors.ts";
export * from "./exemplar.ts";
export * from "./histogram.ts";
export * from "./identity.ts";
export * from "./ingest.ts";
export * from "./labels.ts";
export * from "./matcher.ts";
export * from "./moment.ts";
export * from "./query-limits.ts";
export * from "./queryable.ts";
export * from "./rows.ts";
export * from "./series-placer.ts";
export * from "./stale.ts";
export * from "./statistics.ts";
export * from "./tenant.ts";
export * from "./turns.ts";
