// test/crash/sim-insert.ts: an insert of the simulation: the real IngestHandler, connected to whatever storage runs just now.
import type { Random } from "../../libs/env/index.ts";
import { type IngestSession, UnavailableError } from "../../libs/model/index.ts";
import type { Db } from "../../libs/tsdb/index.ts";
import { IngestHandler, type WriteReply } from "../../services/insert/index.ts";
import { compress, encodeWriteRequest, type WriteMetadata, type WriteSeries } from "../e2e/remote-write.ts";
import type { SimProcess } from "./sim-process.ts";

const KIB = 1024;

export interface SimStorage {
  readonly process: SimProcess;
  readonly db: Db;
}

export interface SimRequest {
  readonly tenant: string;
  readonly series: readonly WriteSeries[];
  readonly metadata: readonly WriteMetadata[];
}

export class SimInsert {
  readonly process: SimProcess;
  readonly handler: IngestHandler;

  /** `reach` gives the storage that can be connected to. */
  constructor(process: SimProcess, random: Random, reach: () => SimStorage | undefined) {
    this.process = process;
    const connect = async (): Promise<IngestSession> => {
      const storage = reach();
      if (storage === undefined) throw new UnavailableError("connection refused");
      return connection(storage, process);
    };
    this.handler = new IngestHandler({
      targets: [{ address: "storage:8400", connect }],
      random,
      clock: process.clock,
      limits: { writeBodyMaxBytes: 16 * KIB, writeDecodedMaxBytes: 64 * KIB, seriesCacheMax: 2000 },
    });
  }

  /** The reply; undefined when this insert died first: its clients wait in vain. */
  write(request: SimRequest): Promise<WriteReply | undefined> {
    const reply = this.handler.write({
      tenant: request.tenant,
      contentType: "application/x-protobuf",
      contentEncoding: "snappy",
      body: compress(encodeWriteRequest(request.series, request.metadata)),
    });
    return Promise.race([reply, this.process.ended.then(() => undefined)]);
  }
}

/** A session as an insert in another process holds it: it ends with either process. */
function connection(storage: SimStorage, insert: SimProcess): IngestSession {
  const { db, process } = storage;
  const session = db.openSession();
  void insert.ended.then(() => session.close());
  const whileAlive = <T>(answer: Promise<T>): Promise<T> => {
    const lost = process.ended.then(() => {
      throw new UnavailableError("connection reset");
    });
    return Promise.race([answer, lost]);
  };
  return {
    identity: session.identity,
    append: (batch) => whileAlive(session.append(batch)),
    appendMetadata: (entries) => whileAlive(session.appendMetadata(entries)),
    appendSide: (batch) => whileAlive(session.appendSide(batch)),
    closed: process.ended,
    close: () => session.close(),
  };
}
