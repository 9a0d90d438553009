// services/insert/router.ts: from a request in linear memory to batches for the owners of its shards.
// What the cluster is (id, hash seed, shard count) the first storage that answers says; one that says otherwise is kept away until
// it agrees, because samples must not be placed by two seeds. Owners of shards follow from the list of addresses alone.
import { assignShards } from "../../libs/cluster/index.ts";
import type { Clock, Random } from "../../libs/env/index.ts";
import { type IngestKernel, packValues, type RequestView } from "../../libs/kernel/index.ts";
import type { BatchAck, IngestTarget, MetadataEntry, SideAck, StorageIdentity } from "../../libs/model/index.ts";
import {
  assembleBatch,
  BATCH_REGISTRATION_BYTES_MAX,
  BATCH_SAMPLES_MAX,
  batchSamples,
  encodeRuns,
} from "./batch-writer.ts";
import type { InsertLimits } from "./limits.ts";
import { OwnerQueue, type OwnerState } from "./owner-queue.ts";
import type { SeriesRegistry } from "./registry.ts";
import { sideBatches } from "./side-batches.ts";
import type { SideEntry } from "./side-intake.ts";

/** Upper bound of a sample's share of a batch in the usual case: a part of a run, a value. */
const SAMPLE_BYTES = 16;
/** Text of one metadata message, roughly: the next entry after it begins another. */
const METADATA_MESSAGE_CHARACTERS = 64 * 1024;

export type ClusterIdentity = Omit<StorageIdentity, "nodeId">;

export interface RouterOptions {
  readonly targets: readonly IngestTarget[];
  readonly replicationFactor: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: InsertLimits;
  readonly ackTimeoutMs: number;
  readonly kernel: IngestKernel;
  /** Called once, when the first storage says what the cluster is; afterwards there is a registry. */
  readonly onCluster: (cluster: ClusterIdentity) => void;
  readonly registry: () => SeriesRegistry;
  readonly onReplaced: () => void;
  readonly onOwnerState: (address: string, state: OwnerState, reason: string) => void;
}

/** A batch on its way. */
export interface Shipment {
  readonly samples: number;
  readonly ack: Promise<BatchAck>;
}

/** A side batch on its way. */
export interface SideShipment {
  readonly histograms: number;
  readonly exemplars: number;
  readonly ack: Promise<SideAck>;
}

interface Owner {
  readonly queue: OwnerQueue;
  readonly table: ReturnType<IngestKernel["openDictionary"]>;
}

export class Router {
  /** Copies of each sample. */
  readonly ranks: number;
  private readonly options: RouterOptions;
  private readonly owners: readonly Owner[];
  private readonly nodes = new Map<string, string>();
  private cluster: ClusterIdentity | undefined;
  private shardOwners: readonly Uint16Array[] = [];

  constructor(options: RouterOptions) {
    this.options = options;
    this.ranks = Math.min(options.replicationFactor, options.targets.length);
    // Refuses an impossible list at once, not when the first storage answers.
    assignShards(this.addresses(), 1, options.replicationFactor);
    this.owners = options.targets.map((target) => this.makeOwner(target));
  }

  private makeOwner(target: IngestTarget): Owner {
    const { clock, random, limits, ackTimeoutMs, kernel, registry, onReplaced, onOwnerState } = this.options;
    const table = kernel.openDictionary();
    const queue = new OwnerQueue({
      target,
      clock,
      random,
      queueMaxBytes: limits.ownerQueueMaxBytes,
      dictionaryMaxBytes: limits.dictionaryMaxBytes,
      ackTimeoutMs,
      admit: (identity, address) => this.admit(identity, address),
      registry,
      table,
      onReplaced,
      onState: onOwnerState,
    });
    return { queue, table };
  }

  private addresses(): string[] {
    return this.options.targets.map((target) => target.address);
  }

  /** The queues, in the order of the targets, for metrics and readiness. */
  get queues(): readonly OwnerQueue[] {
    return this.owners.map((owner) => owner.queue);
  }

  /** Whether some storage has said what the cluster is. */
  get isPlaced(): boolean {
    return this.cluster !== undefined;
  }

  /** Judges a storage that was reached. */
  private admit(identity: StorageIdentity, address: string): string | undefined {
    const elsewhere = this.nodes.get(identity.nodeId);
    if (elsewhere !== undefined && elsewhere !== address) {
      return `cannot use storage ${address}: got node ${identity.nodeId}, which is also ${elsewhere}; want each storage listed once`;
    }
    if (this.cluster === undefined) this.adoptCluster(identity);
    else {
      const difference = differenceOf(this.cluster, identity);
      if (difference !== undefined) return `cannot use storage ${address}: ${difference}`;
    }
    for (const [nodeId, at] of this.nodes) if (at === address) this.nodes.delete(nodeId);
    this.nodes.set(identity.nodeId, address);
    return undefined;
  }

  private adoptCluster(identity: StorageIdentity): void {
    const { clusterId, hashSeed, shardCount } = identity;
    const addresses = this.addresses();
    this.shardOwners = assignShards(addresses, shardCount, this.options.replicationFactor);
    this.cluster = { clusterId, hashSeed: hashSeed.slice(), shardCount };
    this.options.onCluster(this.cluster);
    if (this.ranks === this.owners.length) return;
    this.owners.forEach((owner, index) => {
      const own = this.shardOwners.flatMap((indices, shard) => (indices.includes(index) ? [shard] : []));
      owner.table.ownShards(own);
    });
  }

  /**
   * Encodes the request's rows for their owners and hands the batches over. An owner that is away or full takes none: its
   * entry is a rejected acknowledgement. All of it happens before this returns; the request's memory is free afterwards.
   */
  ship(view: RequestView): Shipment[] {
    const shipments: Shipment[] = [];
    for (const owner of this.owners) this.shipRows(owner, view, 0, view.seriesCount, shipments);
    return shipments;
  }

  private shipRows(owner: Owner, view: RequestView, from: number, to: number, out: Shipment[]): void {
    const writer = this.options.kernel.batch;
    const middle = (from + to) >>> 1;
    const samples = (to < view.seriesCount ? view.firstSample(to) : view.sampleCount) - view.firstSample(from);
    if (samples > BATCH_SAMPLES_MAX && middle > from) {
      this.shipRows(owner, view, from, middle, out);
      this.shipRows(owner, view, middle, to, out);
      return;
    }
    const missing = writer.missing.subarray(0, writer.begin(owner.table, 0, from, to));
    if (missing.length === 0 && writer.finish() === undefined) return;
    try {
      const bytes = writer.sampleCount * SAMPLE_BYTES;
      const dictionary = owner.queue.dictionaryFor(bytes);
      if (samples > BATCH_SAMPLES_MAX) {
        this.shipLongRow(owner, view, from, out);
        return;
      }
      if (missing.length > 0) {
        if (dictionary.registrationBytesMax(missing) > BATCH_REGISTRATION_BYTES_MAX && middle > from) {
          this.shipRows(owner, view, from, middle, out);
          this.shipRows(owner, view, middle, to, out);
          return;
        }
        dictionary.register(missing, writer);
      }
      const batch = writer.finish()!.slice();
      out.push({ samples: batchSamples(batch), ack: owner.queue.submit(batch) });
    } catch (error) {
      // Other owners' batches may be on their way already: the error takes its place beside their answers.
      out.push({ samples: 0, ack: Promise.reject(error) });
    }
  }

  /** One series with more samples than a batch should hold. */
  private shipLongRow(owner: Owner, view: RequestView, row: number, out: Shipment[]): void {
    const first = view.firstSample(row);
    const end = first + view.samplesOf(row);
    for (let at = first; at < end; at += BATCH_SAMPLES_MAX) {
      const to = Math.min(end, at + BATCH_SAMPLES_MAX);
      const { ref, registration } = owner.queue.dictionaryFor((to - at) * SAMPLE_BYTES).registerOne(view.sid(row));
      const batch = assembleBatch({
        registrations: registration,
        registrationCount: registration.length > 0 ? 1 : 0,
        runs: encodeRuns(ref, view.times.subarray(at, to)),
        runCount: to - at,
        sampleCount: to - at,
        values: packValues(view.values, at, to),
      });
      out.push({ samples: to - at, ack: owner.queue.submit(batch) });
    }
  }

  /** Sends metadata to the owners of each family's shard. Errors: UnavailableError when one of them is away or full. */
  async shipMetadata(entries: readonly MetadataEntry[], shardOf: (entry: MetadataEntry) => number): Promise<void> {
    const messages: { index: number; list: MetadataEntry[]; characters: number }[] = [];
    const filling = new Map<number, (typeof messages)[number]>();
    for (const entry of entries) {
      for (const index of this.shardOwners[shardOf(entry)]!) {
        let message = filling.get(index);
        if (message === undefined || message.characters >= METADATA_MESSAGE_CHARACTERS) {
          message = { index, list: [], characters: 0 };
          filling.set(index, message);
          messages.push(message);
        }
        message.list.push(entry);
        message.characters += 32 + entry.family.length + entry.help.length + entry.unit.length;
      }
    }
    await Promise.all(messages.map(({ index, list }) => this.owners[index]!.queue.submitMetadata(list)));
  }

  /** Sends side data to the owners of its series' shards; each batch's counts are those of its entries. */
  shipSide(entries: readonly SideEntry[]): SideShipment[] {
    const shipments: SideShipment[] = [];
    this.owners.forEach(({ queue }, index) => {
      const own = entries.filter(({ place }) => this.shardOwners[place.shard]!.includes(index));
      for (const { batch, ...counts } of sideBatches(own)) {
        shipments.push({ ...counts, ack: queue.submitSide(batch) });
      }
    });
    return shipments;
  }

  /** Drops series that the registry is about to forget. */
  forget(isIdle: (sid: number) => boolean, highestSid: number): void {
    for (const owner of this.owners) owner.queue.forget(isIdle, highestSid);
  }

  async close(withinMs: number): Promise<void> {
    await Promise.all(this.owners.map((owner) => owner.queue.close(withinMs)));
  }
}

/** One clause about where a storage differs from the cluster, or undefined. */
function differenceOf(cluster: ClusterIdentity, identity: StorageIdentity): string | undefined {
  const { clusterId, hashSeed, shardCount } = identity;
  if (clusterId !== cluster.clusterId) return `got cluster ${clusterId}; want ${cluster.clusterId}`;
  if (Buffer.compare(hashSeed, cluster.hashSeed) !== 0) {
    return `got another hash seed for cluster ${clusterId}; want that of the other storages`;
  }
  if (shardCount !== cluster.shardCount) return `got ${shardCount} shards; want ${cluster.shardCount}`;
  return undefined;
}
