// libs/rpc/deletion-client.ts: deletions on a storage at an address.
import type { Client, Metadata } from "@grpc/grpc-js";
import {
  type Deletable,
  type Deletion,
  type DeletionRequest,
  InternalError,
  type PendingDeletion,
} from "../model/index.ts";
import { type CallLimits, callUnary } from "./calls.ts";
import { setsToMessage } from "./leaf-codec.ts";
import { contracts, type DeletionMethods } from "./load.ts";
import type { DeletionMessage } from "./messages.ts";

/** A storage finishes the cut or merge at hand before it deletes; cleaning tombstones is a cut and many merges itself. */
const DELETE_TIMEOUT_MS = 120_000;
const CLEAN_TIMEOUT_MS = 3_600_000;

/** Deletions over a connection. `headers` are asked for per call: they know the storage by then. */
export class GrpcDeletable implements Deletable {
  readonly #client: Client;
  readonly #address: string;
  readonly #headers: (limits: CallLimits) => Promise<Metadata>;

  constructor(client: Client, address: string, headers: (limits: CallLimits) => Promise<Metadata>) {
    this.#client = client;
    this.#address = address;
    this.#headers = headers;
  }

  async deleteSeries({ sets, ...request }: DeletionRequest): Promise<Deletion | undefined> {
    const [made] = await this.#call("DeleteSeries", { ...request, sets: setsToMessage(sets) }, DELETE_TIMEOUT_MS);
    return made === undefined ? undefined : deletionOf(made);
  }

  async undelete(tenant: string, id: string): Promise<Deletion> {
    const [undone] = await this.#call("Undelete", { tenant, id }, DELETE_TIMEOUT_MS);
    if (undone === undefined) throw new InternalError(`cannot undo deletion: got no word of it from ${this.#address}`);
    return deletionOf(undone);
  }

  deletions(tenant: string): Promise<PendingDeletion[]> {
    return this.#call("ListDeletions", { tenant }, DELETE_TIMEOUT_MS);
  }

  async cleanTombstones(): Promise<void> {
    await this.#call("CleanTombstones", {}, CLEAN_TIMEOUT_MS);
  }

  async #call<Name extends keyof DeletionMethods>(
    name: Name,
    request: Parameters<DeletionMethods[Name]["requestSerialize"]>[0],
    timeoutMs: number,
  ): Promise<DeletionMessage[]> {
    const limits = { deadlineMs: Date.now() + timeoutMs };
    const headers = await this.#headers(limits);
    const method = contracts().deletions[name] as DeletionMethods["ListDeletions"];
    const reply = await callUnary(this.#client, method, request as { tenant: string }, headers, limits, this.#address);
    return [...reply.deletions];
  }
}

function deletionOf({ undoUntilMs: _, ...deletion }: DeletionMessage): Deletion {
  return deletion;
}
