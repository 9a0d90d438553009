// services/insert/handler.ts: one remote-write request → one reply, without HTTP's types.
// A request is answered 204 when all of it is stored, 400 with exact counts when some or all of it can never be, 503 when time may
// cure it (then all of it is to be sent again; what was stored meanwhile is stored once). Never 429; 5xx never for bad data.
import { type Clock, nodeClock, type Random, type Timer } from "../../libs/env/index.ts";
import { HASH_KEY_BYTES, IngestKernel } from "../../libs/kernel/index.ts";
import {
  AppError,
  type BatchAck,
  encodeSeriesKey,
  type Hash128,
  type IngestTarget,
  METRIC_NAME,
  type MetadataEntry,
  placeSeries,
  UnavailableError,
} from "../../libs/model/index.ts";
import { EPOCH_MS, Intake } from "./intake.ts";
import { DEFAULT_INSERT_LIMITS, type InsertLimits, LIMIT_FLAGS } from "./limits.ts";
import { MetadataIntake } from "./metadata-intake.ts";
import type { OwnerState, OwnerStats } from "./owner-queue.ts";
import { type RefusalReason, Refusals, type StoredCounts } from "./refusals.ts";
import { SeriesRegistry } from "./registry.ts";
import { checkContentEncoding, parseContentType, type WireVersion } from "./request-form.ts";
import { type ClusterIdentity, Router, type Shipment } from "./router.ts";
import { NOTHING_ASIDE, SideDelivery } from "./side-delivery.ts";
import { declaredLength, SNAPPY_RATIO_MAX } from "./snappy-form.ts";

export interface WriteRequest {
  /** A valid tenant name (parseTenant). */
  readonly tenant: string;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  /** In one piece or several. */
  readonly body: Uint8Array | readonly Uint8Array[];
}

export interface WriteReply {
  readonly status: 204 | 400 | 413 | 415 | 500 | 503;
  /** Flat name, value pairs. */
  readonly headers: readonly string[];
  /** Body text; "" when there is none. */
  readonly text: string;
}

export interface IngestHandlerOptions {
  /** One per storage, of different addresses. */
  readonly targets: readonly IngestTarget[];
  readonly random: Random;
  readonly clock?: Clock;
  readonly limits?: Partial<InsertLimits>;
  readonly replicationFactor?: number;
  /** An owner that acknowledges nothing for this long is given up: its writes fail as unavailable. */
  readonly ackTimeoutMs?: number;
  /** For the log: an owner was connected or lost. */
  readonly onOwnerState?: (address: string, state: OwnerState, reason: string) => void;
}

const ACK_TIMEOUT_MS = 10_000;
const NOTHING_STORED: StoredCounts = { samples: 0, histograms: 0, exemplars: 0 };

/** Plain counters for the metrics layer. */
export class InsertStats {
  requests = 0;
  /** Requests by reply status. */
  readonly replies = new Map<number, number>();
  bodyBytes = 0;
  decodedBytes = 0;
  /** Samples in well-formed requests, and those of them that were acknowledged. */
  samplesReceived = 0;
  samplesStored = 0;
  histogramsStored = 0;
  exemplarsStored = 0;
  /** Samples, exemplars, histograms, … refused, by reason. */
  readonly refused = new Map<RefusalReason, number>();
  metadataSent = 0;
}

export class IngestHandler {
  readonly stats = new InsertStats();
  private readonly limits: InsertLimits;
  private readonly kernel: IngestKernel;
  private readonly router: Router;
  private readonly metadata: MetadataIntake;
  private readonly aside: SideDelivery;
  private readonly ticker: Timer;
  private intake: Intake | undefined;
  private shardOfFamily: (entry: MetadataEntry) => number = () => 0;

  /** Begins to connect at once. Errors: InvalidError for an empty list of storages, or one that is listed twice. */
  constructor(options: IngestHandlerOptions) {
    const clock = options.clock ?? nodeClock;
    this.limits = { ...DEFAULT_INSERT_LIMITS, ...options.limits };
    this.kernel = new IngestKernel({
      hashKey: options.random.bytes(HASH_KEY_BYTES),
      bodyBytesMax: this.limits.writeBodyMaxBytes,
      decodedBytesMax: this.limits.writeDecodedMaxBytes,
      seriesMax: this.limits.seriesCacheMax,
      dictionariesMax: options.targets.length,
    });
    this.metadata = new MetadataIntake(this.limits, clock);
    this.aside = new SideDelivery(this.limits, clock);
    this.router = new Router({
      targets: options.targets,
      replicationFactor: options.replicationFactor ?? 1,
      clock,
      random: options.random,
      limits: this.limits,
      ackTimeoutMs: options.ackTimeoutMs ?? ACK_TIMEOUT_MS,
      kernel: this.kernel,
      onCluster: (cluster) => this.begin(cluster),
      registry: () => this.intake!.registry,
      onReplaced: () => {
        this.metadata.forgetAll();
        this.aside.forgetAll();
      },
      onOwnerState: options.onOwnerState ?? (() => {}),
    });
    this.ticker = clock.every(EPOCH_MS, () => this.intake?.tick());
  }

  /** From here on series can be named: the hash seed is known. */
  private begin(cluster: ClusterIdentity): void {
    const hash128: Hash128 = this.kernel.hash128(cluster.hashSeed);
    this.aside.begin(hash128, cluster.shardCount);
    const registry = new SeriesRegistry(hash128, cluster.shardCount, this.kernel.shards);
    this.intake = new Intake(this.kernel, registry, this.limits, (isIdle, highestSid) => {
      this.router.forget(isIdle, highestSid);
      this.metadata.forget(isIdle, highestSid);
    });
    this.shardOfFamily = (entry) => {
      const key = encodeSeriesKey(entry.tenant, [METRIC_NAME, entry.family]);
      return placeSeries(hash128, key, cluster.shardCount).shard;
    };
  }

  /** Whether every storage is connected. */
  get isReady(): boolean {
    return this.router.queues.every((queue) => queue.isConnected);
  }

  /** State and counters of each storage, in the order of the targets. */
  get owners(): readonly OwnerStats[] {
    return this.router.queues.map((queue) => queue.stats);
  }

  /** Series known, their memory in bytes, and what was registered and forgotten so far. */
  get series(): {
    readonly known: number;
    readonly sizeBytes: number;
    readonly registered: number;
    readonly forgotten: number;
  } {
    const { intake, kernel } = this;
    if (intake === undefined) return { known: 0, sizeBytes: 0, registered: 0, forgotten: 0 };
    const sizeBytes = intake.registry.sizeBytes + kernel.formBytes;
    return { known: intake.registry.size, sizeBytes, registered: intake.registered, forgotten: intake.forgotten };
  }

  /** Handles one request. Never throws. */
  async write(request: WriteRequest): Promise<WriteReply> {
    this.stats.requests++;
    const reply = await this.reply(request);
    this.stats.replies.set(reply.status, (this.stats.replies.get(reply.status) ?? 0) + 1);
    return reply;
  }

  private async reply(request: WriteRequest): Promise<WriteReply> {
    const version = parseContentType(request.contentType);
    if (typeof version === "string") return { status: 415, headers: [], text: version };
    const encoding = checkContentEncoding(request.contentEncoding);
    if (encoding !== undefined) return { status: 415, headers: [], text: encoding };
    try {
      const tooLarge = this.checkSize(request.body);
      if (tooLarge !== undefined) return { status: 413, headers: written(version, NOTHING_STORED), text: tooLarge };
      return await this.store(request, version);
    } catch (error) {
      return failure(error, version, NOTHING_STORED);
    }
  }

  /** One sentence when the body is too large, as it came or as it declares. */
  private checkSize(body: Uint8Array | readonly Uint8Array[]): string | undefined {
    const { writeBodyMaxBytes, writeDecodedMaxBytes } = this.limits;
    const parts = body instanceof Uint8Array ? [body] : body;
    let length = 0;
    for (const part of parts) length += part.length;
    this.stats.bodyBytes += length;
    if (length > writeBodyMaxBytes) {
      return `cannot read write request: got a body of ${length} bytes; want at most ${writeBodyMaxBytes} (${LIMIT_FLAGS.writeBodyMaxBytes})`;
    }
    const declared = declaredLength(parts);
    // What snappy could not have made of so much is a lie, and corrupt rather than large: the kernel says so.
    if (declared <= writeDecodedMaxBytes || declared > length * SNAPPY_RATIO_MAX) return undefined;
    return `cannot decompress write request: got a declared length of ${declared} bytes; want at most ${writeDecodedMaxBytes} (${LIMIT_FLAGS.writeDecodedMaxBytes})`;
  }

  private async store(request: WriteRequest, version: WireVersion): Promise<WriteReply> {
    const { intake, router, stats } = this;
    if (intake === undefined) throw this.notPlaced();
    const refusals = new Refusals();
    // From here to the shipments nothing is awaited: the request's memory is the next request's.
    const view = intake.read(request.body, version, request.tenant, refusals);
    stats.decodedBytes += view.messageBytes;
    stats.samplesReceived += view.sampleCount + view.timeRefused + view.refsRefusedSamples;
    const side = this.aside.read(view, { version, tenant: request.tenant }, refusals);
    const news = this.metadata.read(view, version, request.tenant, intake.registry, refusals);
    const shipments = view.seriesCount > 0 ? router.ship(view) : [];
    const described = news.length === 0 ? undefined : this.describe(news);
    const beside = side === undefined ? undefined : this.aside.send(side, router, refusals);
    const outcome = await this.collect(shipments, refusals);
    const { problem: asideProblem, ...aside } = (await beside) ?? NOTHING_ASIDE;
    const problem = outcome.problem ?? (await described) ?? asideProblem;
    const stored = { samples: outcome.stored, ...aside };
    stats.samplesStored += stored.samples;
    stats.histogramsStored += stored.histograms;
    stats.exemplarsStored += stored.exemplars;
    for (const [reason, count] of refusals.byReason)
      stats.refused.set(reason, (stats.refused.get(reason) ?? 0) + count);
    if (problem !== undefined) return failure(problem, version, stored);
    const headers = written(version, stored);
    if (refusals.isEmpty) return { status: 204, headers, text: "" };
    return { status: 400, headers, text: refusals.text(stored) };
  }

  /** Waits for all owners. `stored` is exact when there is no problem, else what surely is stored. */
  private async collect(
    shipments: readonly Shipment[],
    refusals: Refusals,
  ): Promise<{ stored: number; problem: unknown }> {
    let stored = 0;
    let problem: unknown;
    const rejected = new Map<string, { reason: RefusalReason; count: number; text: string }>();
    const settled = await Promise.allSettled(shipments.map((shipment) => shipment.ack));
    settled.forEach((result, i) => {
      if (result.status === "rejected") {
        problem ??= result.reason;
        return;
      }
      stored += shipments[i]!.samples;
      for (const rejection of result.value.rejections) addRejection(rejected, rejection);
    });
    // Every copy of a sample is stored or refused alike, so that each is counted `ranks` times.
    const { ranks } = this.router;
    for (const { reason, count, text } of rejected.values()) {
      stored -= count;
      refusals.add("sample", Math.ceil(count / ranks), reason, text);
    }
    if (ranks > 1) stored = problem === undefined ? Math.floor(stored / ranks) : 0;
    return { stored, problem };
  }

  /** Sends metadata on. Resolves to undefined, or to why it is not stored: never rejects, because it is awaited late. */
  private async describe(news: readonly MetadataEntry[]): Promise<unknown> {
    try {
      await this.router.shipMetadata(news, this.shardOfFamily);
      this.metadata.settle(news, true);
      this.stats.metadataSent += news.length;
      return undefined;
    } catch (error) {
      this.metadata.settle(news, false);
      return error;
    }
  }

  private notPlaced(): UnavailableError {
    const reasons = this.owners.map((owner) => `${owner.address}: ${owner.reason}`).join("; ");
    return new UnavailableError(`cannot store samples: got no storage yet (${reasons}); want one connected`);
  }

  /** Stops: waits for what is on its way, then closes the connections. Writes from now on are answered 503. */
  async close(withinMs: number): Promise<void> {
    this.ticker.cancel();
    await this.router.close(withinMs);
  }
}

function addRejection(
  into: Map<string, { reason: RefusalReason; count: number; text: string }>,
  rejection: BatchAck["rejections"][number],
): void {
  const key = `${rejection.reason} ${rejection.text}`;
  const known = into.get(key);
  if (known === undefined) into.set(key, { ...rejection });
  else known.count += rejection.count;
}

/** Version 2 must say what was written, with every status. */
function written(version: WireVersion, stored: StoredCounts): readonly string[] {
  if (version === 1) return [];
  const prefix = "X-Prometheus-Remote-Write";
  return [
    `${prefix}-Samples-Written`,
    String(stored.samples),
    `${prefix}-Histograms-Written`,
    String(stored.histograms),
    `${prefix}-Exemplars-Written`,
    String(stored.exemplars),
  ];
}

/** What an error is to a sender: its own mistake, or a reason to come again. */
function failure(error: unknown, version: WireVersion, stored: StoredCounts): WriteReply {
  const headers = written(version, stored);
  const text = error instanceof Error ? error.message : String(error);
  if (error instanceof AppError) {
    if (error.reaction === "invalid") return { status: 400, headers, text };
    if (error.reaction === "unavailable" || error.reaction === "timeout") {
      const seconds = error instanceof UnavailableError ? error.retryAfterSeconds : 1;
      return { status: 503, headers: [...headers, "Retry-After", String(seconds)], text };
    }
  }
  return { status: 500, headers, text };
}
