// libs/kernel/assembly/ingest.ts: the ingest kernel: from a remote write body to batches for the storages, stage by stage.
export { encodeBatch } from "./lib/batch";
export { growTable, lookUp, remember, sweepForms } from "./lib/forms";
export { predictRows, resolveRows } from "./lib/identify";
export { siphash128 } from "./lib/siphash";
export { snappyDecode, snappyDeclaredLength } from "./lib/snappy";
export { walkV1 } from "./lib/walk-v1";
export { walkV2 } from "./lib/walk-v2";
