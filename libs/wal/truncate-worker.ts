// libs/wal/truncate-worker.ts: entry of the thread that removes old segments once, and ends.
import { parentPort, workerData } from "node:worker_threads";
import { NodeFileSystem } from "../env/index.ts";
import type { TruncateStart } from "./committer.ts";
import { truncateSegments } from "./truncate.ts";

const { dataDir, segment } = workerData as TruncateStart;
parentPort?.postMessage(truncateSegments(new NodeFileSystem(), dataDir, segment));
