// libs/promql/progress.ts: what a query has done so far, for whoever watches it while it runs.
// The engine alone writes to it.

export class QueryProgress {
  /** Samples that leaves read, series that they matched, bytes of their answers. */
  samplesRead = 0;
  seriesCount = 0;
  bytes = 0;
  /** The most points that nodes of the query held at a time. */
  peakPoints = 0;
  /** The plan, one line for each node, indented by depth; "" before there is one. Most queries end before anybody asks. */
  plan: () => string = () => "";
}
