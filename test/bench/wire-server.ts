// test/bench/wire-server.ts: the storage side of wire.bench.ts, a process of its own: acknowledges and keeps nothing.
// Arguments: "storage", or "plain" and "raised" for a bare upload with grpc-js' own windows and with ours.
import { Server, ServerCredentials, type ServerDuplexStream } from "@grpc/grpc-js";
import type { BatchAck, IngestSession, Queryable, StorageIdentity } from "../../libs/model/index.ts";
import { openServer } from "../../libs/rpc/channel.ts";
import { serveStorage } from "../../libs/rpc/index.ts";
import { batchSeq } from "../../libs/rpc/ingest-codec.ts";
import { heapBallast } from "./heap-ballast.ts";

const identity: StorageIdentity = { clusterId: "bench", nodeId: "0", hashSeed: new Uint8Array(16), shardCount: 64 };
const unknownRefs = new Uint32Array(0);

/** Acknowledges all batches of a turn of the loop together, as a group commit would. */
class Sink implements IngestSession {
  readonly identity = identity;

  append(batch: Uint8Array): Promise<BatchAck> {
    const ack: BatchAck = { seq: batchSeq(batch), status: "stored", unknownRefs, rejections: [] };
    return new Promise((resolve) => setImmediate(resolve, ack));
  }

  async appendMetadata(): Promise<void> {}
  async appendSide(): Promise<{ rejections: [] }> {
    return { rejections: [] };
  }
  async close(): Promise<void> {}
}

async function listen(kind: string): Promise<string> {
  if (kind === "storage") {
    const engine = { identity, openSession: () => new Sink(), queryable: {} as Queryable };
    return (await serveStorage({ engine, listen: "127.0.0.1:0" })).address;
  }
  const server = kind === "plain" ? new Server({ "grpc.enable_channelz": 0 }) : openServer(() => undefined).server;
  const same = (bytes: Buffer): Buffer => bytes;
  const codec = {
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  const method = { path: "/bench/Upload", requestStream: true, responseStream: true, ...codec };
  server.addService({ Upload: method } as never, {
    Upload: (call: ServerDuplexStream<Buffer, Buffer>) => {
      call.on("data", () => call.write(Buffer.alloc(8)));
      call.on("end", () => call.end());
    },
  });
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(`127.0.0.1:${port}`);
      else reject(error);
    });
  });
}

const ballast = heapBallast();
const address = await listen(process.argv[2]!);
process.on("message", () => process.send!(process.cpuUsage()));
process.on("disconnect", () => process.exit(ballast.length > 0 ? 0 : 1));
process.send!({ address });
