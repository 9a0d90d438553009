// libs/runtime/http-stats.ts: plain counters of the HTTP server, read by the metrics when they are collected.
// One call per request, no allocation after a route's first.

import type { HeldBodies } from "./http-body.ts";

/** Upper bounds of the duration buckets, in seconds. */
export const DURATION_BOUNDS_S: readonly number[] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30, 120];

/** A histogram of durations with fixed buckets. */
export class DurationHistogram {
  /** Observations per bucket, not cumulated; the last one is beyond every bound. */
  readonly counts = new Float64Array(DURATION_BOUNDS_S.length + 1);
  sumSeconds = 0;

  observe(seconds: number): void {
    let i = 0;
    while (i < DURATION_BOUNDS_S.length && seconds > DURATION_BOUNDS_S[i]!) i++;
    this.counts[i]!++;
    this.sumSeconds += seconds;
  }
}

export interface RouteStats {
  readonly duration: DurationHistogram;
  /** Requests by status code. */
  readonly byStatus: Map<number, number>;
}

export class HttpStats {
  /** By the route's pattern; requests that met no route are under "none". */
  readonly routes = new Map<string, RouteStats>();
  inFlight = 0;
  readonly bodies: HeldBodies;

  constructor(bodies: HeldBodies) {
    this.bodies = bodies;
  }

  record(route: string, status: number, seconds: number): void {
    let stats = this.routes.get(route);
    if (stats === undefined) {
      stats = { duration: new DurationHistogram(), byStatus: new Map() };
      this.routes.set(route, stats);
    }
    stats.duration.observe(seconds);
    stats.byStatus.set(status, (stats.byStatus.get(status) ?? 0) + 1);
  }
}
