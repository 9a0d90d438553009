// libs/rpc/deletion-server.ts: service Deletions over whatever of an engine can delete.
import type { ServerUnaryCall, sendUnaryData, UntypedServiceImplementation } from "@grpc/grpc-js";
import { AppError, type Deletable, UnavailableError } from "../model/index.ts";
import type { StorageEngine } from "./engine.ts";
import { setsFromMessage } from "./leaf-codec.ts";
import type {
  DeleteSeriesRequest,
  DeletionMessage,
  DeletionsReply,
  ListDeletionsRequest,
  UndeleteRequest,
} from "./messages.ts";
import { checkHeaders, type VersionRange } from "./peer.ts";
import { statusOfError } from "./status.ts";

export interface DeletionServiceOptions {
  readonly engine: StorageEngine;
  readonly versions: VersionRange;
  /** Hears of calls that this storage refused or failed. */
  readonly onFailure: (what: string, remote: string, error: unknown) => void;
}

/** The handlers of service Deletions. */
export function deletionHandlers({
  engine,
  versions,
  onFailure,
}: DeletionServiceOptions): UntypedServiceImplementation {
  const unary = <Request>(what: string, work: (on: Deletable, request: Request) => Promise<DeletionMessage[]>) => {
    return (call: ServerUnaryCall<Request, DeletionsReply>, done: sendUnaryData<DeletionsReply>): void => {
      const answer = async (): Promise<DeletionMessage[]> => {
        checkHeaders(call.metadata, engine.identity, versions, call.getPeer());
        if (engine.deletable === undefined) throw disabled();
        return work(engine.deletable, call.request);
      };
      answer().then(
        (deletions) => done(null, { deletions }),
        (error: unknown) => {
          if (!(error instanceof AppError) || error.reaction !== "invalid") onFailure(what, call.getPeer(), error);
          done(statusOfError(error));
        },
      );
    };
  };
  return {
    DeleteSeries: unary<DeleteSeriesRequest>("delete series", async (on, request) => {
      const made = await on.deleteSeries({ ...request, sets: setsFromMessage(request.sets) });
      return made === undefined ? [] : [{ ...made, undoUntilMs: 0 }];
    }),
    Undelete: unary<UndeleteRequest>("undo deletion", async (on, { tenant, id }) => {
      return [{ ...(await on.undelete(tenant, id)), undoUntilMs: 0 }];
    }),
    ListDeletions: unary<ListDeletionsRequest>("list deletions", (on, { tenant }) => on.deletions(tenant)),
    CleanTombstones: unary("clean tombstones", async (on) => {
      await on.cleanTombstones();
      return [];
    }),
  };
}

function disabled(): UnavailableError {
  return new UnavailableError(
    "cannot delete series: got a storage that forbids it; want --enable-admin-api there, too",
    60,
  );
}
