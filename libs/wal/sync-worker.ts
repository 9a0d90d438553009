// libs/wal/sync-worker.ts: entry of the worker thread that writes and syncs the WAL. One request is open at a time.
import { parentPort, workerData } from "node:worker_threads";
import { NodeFileSystem, nodeClock } from "../env/index.ts";
import { InternalError } from "../model/index.ts";
import type { WorkerRequest, WorkerStart } from "./committer.ts";
import { SegmentWriter } from "./writer.ts";

const port = parentPort;
if (port === null) throw new InternalError("cannot run sync-worker.ts: got the main thread; want a worker");
const { settings, buffers } = workerData as WorkerStart;
const writer = new SegmentWriter(new NodeFileSystem(), nodeClock, settings);

port.on("message", (request: WorkerRequest) => {
  if (request === "close") {
    writer.close();
    port.close();
    return;
  }
  port.postMessage(writer.commit(buffers[request.index]!, request.length, request.newSegment));
});
