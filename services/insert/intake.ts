// services/insert/intake.ts: a remote-write body → a request in linear memory whose every row has a sid, or is refused with a reason.
// The kernel finds series that it has seen in the same encoding before; here is what happens to all others: canonical key,
// registry, and the kernel is told. Also forgets series that went idle. One request at a time, no awaiting in between.
import type { IngestKernel, RequestView } from "../../libs/kernel/index.ts";
import { InvalidError } from "../../libs/model/index.ts";
import { canonicalKey, readLabelPairs, showLabels } from "./canonical.ts";
import { type InsertLimits, LIMIT_FLAGS } from "./limits.ts";
import type { Refusals } from "./refusals.ts";
import type { SeriesRegistry } from "./registry.ts";
import type { WireVersion } from "./request-form.ts";

/** Length of an epoch of `IngestKernel.seen`; the clock that calls `tick` keeps it. */
export const EPOCH_MS = 10 * 60_000;
/** A series not written to for this many epochs may be forgotten. */
const IDLE_EPOCHS = 18;
/** Epochs count modulo 256: the idle must be forgotten before they look fresh again. */
const SWEEP_EPOCHS_MAX = 200;
const SWEEP_EPOCHS_MIN = 6;
/** Beyond this many tenants everything is forgotten once: numbers of tenants are not reused one by one. */
const TENANTS_MAX = 65_536;
/** No form has this tenant's number, so that nothing is found for it. */
const NO_TENANT = 0;

interface Tenant {
  readonly number: number;
  readonly bytes: Uint8Array;
}

/** Called before series are forgotten: by those who keep columns by sid. */
export type ForgetListener = (isIdle: (sid: number) => boolean, highestSid: number) => void;

export class Intake {
  readonly kernel: IngestKernel;
  readonly registry: SeriesRegistry;
  /** Series registered so far, and series forgotten. */
  registered = 0;
  forgotten = 0;
  private readonly limits: InsertLimits;
  private readonly onForget: ForgetListener;
  private readonly tenants = new Map<string, Tenant>();
  private readonly encoder = new TextEncoder();
  private epochsSinceSweep = 0;

  constructor(kernel: IngestKernel, registry: SeriesRegistry, limits: InsertLimits, onForget: ForgetListener) {
    this.kernel = kernel;
    this.registry = registry;
    this.limits = limits;
    this.onForget = onForget;
  }

  /**
   * Decodes a request and gives every row its sid; rows that are refused get none and are counted in `refusals`.
   * The view is valid until the next call. Errors: InvalidError for a body that is malformed as a whole.
   */
  read(
    body: Uint8Array | readonly Uint8Array[],
    version: WireVersion,
    tenant: string,
    refusals: Refusals,
  ): RequestView {
    let view = this.decode(body, version, tenant);
    if (view.unresolvedCount > this.limits.writeSeriesMax) {
      const want = `want at most ${this.limits.writeSeriesMax} in one request (${LIMIT_FLAGS.writeSeriesMax})`;
      throw new InvalidError(
        `cannot store samples: got ${view.unresolvedCount} series that are not known yet; ${want}`,
      );
    }
    if (view.unresolvedCount > 0 && !this.hasRoomFor(view.unresolvedCount)) {
      this.makeRoom(view.unresolvedCount);
      // Rows may hold sids that have just been forgotten.
      view = this.decode(body, version, tenant);
    }
    refuseParts(view, version, refusals);
    if (view.unresolvedCount > 0) this.resolve(view, tenant, refusals);
    return view;
  }

  private decode(body: Uint8Array | readonly Uint8Array[], version: WireVersion, tenant: string): RequestView {
    return this.kernel.decode(body, version, this.tenants.get(tenant)?.number ?? NO_TENANT);
  }

  private hasRoomFor(series: number): boolean {
    return this.registry.room >= series && this.kernel.hasFormRoom && this.tenants.size < TENANTS_MAX;
  }

  /** Forgets the idle, then the less idle, then all. */
  private makeRoom(series: number): void {
    if (this.tenants.size < TENANTS_MAX) {
      for (const ageMax of [IDLE_EPOCHS, 0]) {
        this.forget(ageMax);
        if (this.hasRoomFor(series)) return;
      }
    }
    this.onForget(() => true, this.registry.highestSid);
    this.kernel.forgetAll();
    this.forgotten += this.registry.release(() => true);
    this.tenants.clear();
  }

  private forget(ageMax: number): void {
    const { epoch, seen } = this.kernel;
    const isIdle = (sid: number): boolean => ((epoch - seen[sid]!) & 255) > ageMax;
    this.onForget(isIdle, this.registry.highestSid);
    this.kernel.sweep(ageMax);
    this.forgotten += this.registry.release(isIdle);
    this.epochsSinceSweep = 0;
  }

  /** Begins the next epoch; now and then forgets what has gone idle. To be called every EPOCH_MS. */
  tick(): void {
    this.kernel.epoch = this.kernel.epoch + 1;
    this.epochsSinceSweep++;
    const crowded = this.registry.size > this.registry.room;
    if (this.epochsSinceSweep >= (crowded ? SWEEP_EPOCHS_MIN : SWEEP_EPOCHS_MAX)) this.forget(IDLE_EPOCHS);
  }

  private resolve(view: RequestView, tenantName: string, refusals: Refusals): void {
    let tenant = this.tenants.get(tenantName);
    const bytes = tenant?.bytes ?? this.encoder.encode(tenantName);
    const count = view.unresolvedCount;
    for (let i = 0; i < count; i++) {
      const row = view.unresolved[i]!;
      let sid = tenant === undefined ? 0 : this.kernel.lookUp(tenant.number, row);
      if (sid === 0) sid = this.register(view, row, bytes, refusals);
      if (sid > 0) {
        // A tenant gets its number with its first good series: names alone must not make us grow.
        if (tenant === undefined) {
          tenant = { number: this.tenants.size + 1, bytes };
          this.tenants.set(tenantName, tenant);
        }
        this.kernel.remember(tenant.number, row, sid);
      }
      view.setSid(row, sid);
    }
  }

  /** The sid of a row that the kernel does not know, or 0 when the series is refused. */
  private register(view: RequestView, row: number, tenant: Uint8Array, refusals: Refusals): number {
    const pairs = readLabelPairs(view.labelBytes(row));
    const key = canonicalKey(tenant, pairs, this.limits);
    const samples = view.samplesOf(row);
    if (!(key instanceof Uint8Array)) {
      const example = refusals.wantsExample ? `${key.text}, in ${showLabels(pairs)}` : "";
      refusals.add("sample", samples, key.fault, example);
      return 0;
    }
    const before = this.registry.size;
    const sid = this.registry.intern(key);
    this.registered += this.registry.size - before;
    if (sid > 0) return sid;
    if (sid < 0) {
      refusals.add("sample", samples, "id-collision", `another series has the same id as ${showLabels(pairs)}`);
      return 0;
    }
    throw new InvalidError(
      `cannot store samples: got more series than ${this.limits.seriesCacheMax} in one request; want at most ${LIMIT_FLAGS.seriesCacheMax}`,
    );
  }
}

/** Counts what the walk has left out. */
function refuseParts(view: RequestView, version: WireVersion, refusals: Refusals): void {
  if (view.refsRefused > 0) {
    const text = `${view.refsRefused} series with label references beyond the ${view.symbolCount} symbols, or an odd number of them`;
    if (view.refsRefusedSamples > 0) refusals.add("sample", view.refsRefusedSamples, "refs", text);
    else refusals.add("series", view.refsRefused, "refs", text);
  }
  if (version === 2 && view.emptySeries > 0) {
    refusals.add("series", view.emptySeries, "no-data", "time series must have samples or histograms");
  }
  if (view.timeRefused > 0) {
    refusals.add("sample", view.timeRefused, "time", "timestamps must be within ±2^53 ms");
  }
}
