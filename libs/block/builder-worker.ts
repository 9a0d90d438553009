// libs/block/builder-worker.ts: entry of the worker thread that builds and merges blocks.
import { parentPort } from "node:worker_threads";
import { NodeFileSystem, runInBackground } from "../env/index.ts";
import { ColumnKernel } from "../kernel/index.ts";
import { InternalError } from "../model/index.ts";
import { serveBuilder } from "./builder-server.ts";

if (parentPort === null) throw new InternalError("cannot run builder-worker.ts: got the main thread; want a worker");
runInBackground();
serveBuilder(parentPort, new NodeFileSystem(), new ColumnKernel());
