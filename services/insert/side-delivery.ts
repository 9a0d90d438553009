// services/insert/side-delivery.ts: side data of requests on its way to storages: read, sent, counted; and start times are told once.
import { type Clock, inSlices, oneSlice } from "../../libs/env/index.ts";
import type { RequestView } from "../../libs/kernel/index.ts";
import type { Hash128, SideRejection } from "../../libs/model/index.ts";
import type { InsertLimits } from "./limits.ts";
import type { Refusals } from "./refusals.ts";
import type { Router } from "./router.ts";
import { readSide, type SideOrigin, type SideRequest } from "./side-intake.ts";
import { SidePlaces } from "./side-places.ts";

/** What became of a request's side data. Counts are exact when there is no problem and nothing is refused, else what surely is stored. */
export interface SideOutcome {
  readonly histograms: number;
  readonly exemplars: number;
  readonly problem: unknown;
}

export const NOTHING_ASIDE: SideOutcome = { histograms: 0, exemplars: 0, problem: undefined };

/** Side data of a request, read as far as one slice went. */
interface Reading {
  readonly steps: Generator<void, SideRequest>;
  readonly begun: IteratorResult<void, SideRequest>;
}

export class SideDelivery {
  private readonly limits: InsertLimits;
  private readonly clock: Clock;
  private places: SidePlaces | undefined;

  constructor(limits: InsertLimits, clock: Clock) {
    this.limits = limits;
    this.clock = clock;
  }

  /** From here on series can be named. */
  begin(hash128: Hash128, shardCount: number): void {
    this.places = new SidePlaces(hash128, shardCount, this.limits);
  }

  /** As readSide; what is not read in a millisecond, `send` reads. */
  read(view: RequestView, origin: SideOrigin, refusals: Refusals): Reading | undefined {
    const steps = this.places && readSide(view, origin, this.places, refusals, this.limits);
    return steps && { steps, begun: oneSlice(this.clock, steps) };
  }

  /** Storages may have lost what they had. */
  forgetAll(): void {
    this.places?.forgetStarts();
  }

  /** Reads the rest of what `read` began, and sends all of it: before anything is awaited, if there is no rest. Never rejects. */
  async send({ steps, begun }: Reading, router: Router, refusals: Refusals): Promise<SideOutcome> {
    try {
      const request = begun.done === true ? begun.value : await inSlices(this.clock, steps);
      return await this.ship(request, router, refusals);
    } catch (problem) {
      return { ...NOTHING_ASIDE, problem };
    }
  }

  private async ship(request: SideRequest, router: Router, refusals: Refusals): Promise<SideOutcome> {
    const shipments = router.shipSide(request.entries);
    const settled = await Promise.allSettled(shipments.map(({ ack }) => ack));
    const stored = { histogram: 0, exemplar: 0 };
    const rejected = new Map<string, { rejection: SideRejection; count: number }>();
    let problem: unknown;
    settled.forEach((result, i) => {
      if (result.status === "rejected") {
        problem ??= result.reason;
        return;
      }
      stored.histogram += shipments[i]!.histograms;
      stored.exemplar += shipments[i]!.exemplars;
      for (const rejection of result.value.rejections) {
        const name = `${rejection.kind} ${rejection.reason} ${rejection.text}`;
        const known = rejected.get(name);
        rejected.set(name, { rejection, count: (known?.count ?? 0) + rejection.count });
      }
    });
    // Each copy is stored or refused alike.
    const { ranks } = router;
    for (const { rejection, count } of rejected.values()) {
      stored[rejection.kind] -= count;
      refusals.add(rejection.kind, Math.ceil(count / ranks), rejection.reason, rejection.text);
    }
    if (problem === undefined) noteStarts(request);
    const refused = new Set(Array.from(rejected.values(), ({ rejection }) => rejection.kind));
    const written = (kind: SideRejection["kind"], read: number): number => {
      // All of them, those that came twice, too: they were sent once, and each counts, as a float does.
      if (problem === undefined && !refused.has(kind)) return read;
      if (ranks === 1) return stored[kind];
      return problem === undefined ? Math.floor(stored[kind] / ranks) : 0;
    };
    return {
      histograms: written("histogram", request.histograms),
      exemplars: written("exemplar", request.exemplars),
      problem,
    };
  }
}

/** Remembers which start times storage has now. */
function noteStarts({ entries }: SideRequest): void {
  for (const { place, side } of entries) {
    const last = side.starts.at(-1);
    if (last === undefined || last.timeMs < place.sentMs) continue;
    place.startMs = last.startMs;
    place.sentMs = last.timeMs;
  }
}
