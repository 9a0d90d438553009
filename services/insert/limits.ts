// services/insert/limits.ts: everything a client can make grow in an insert, and the flag that names each bound.

export interface InsertLimits {
  /** A request's body as it arrives. */
  readonly writeBodyMaxBytes: number;
  /** A request's body after decompression. */
  readonly writeDecodedMaxBytes: number;
  /** Series of one request that are not known yet: each is looked at in full. */
  readonly writeSeriesMax: number;
  /** Native histograms and exemplars of one request, and changes of start times in it: each becomes an object, a float sample does not. */
  readonly writeSideMax: number;
  /** Labels of one series, the metric name counted. */
  readonly labelsMax: number;
  readonly labelNameMaxBytes: number;
  /** Also of a metadata text. */
  readonly labelValueMaxBytes: number;
  /** All names and values of one series. */
  readonly seriesKeyMaxBytes: number;
  /** Bytes that wait for one owner or for its acknowledgement. */
  readonly ownerQueueMaxBytes: number;
  /** Reference tables of one connection, both directions. */
  readonly dictionaryMaxBytes: number;
  /** Series known to the process; beyond, all are forgotten and learnt again. */
  readonly seriesCacheMax: number;
  /** Metric metadata remembered, so that it is sent once. */
  readonly metadataCacheMaxBytes: number;
}

export const DEFAULT_INSERT_LIMITS: InsertLimits = {
  writeBodyMaxBytes: 32 * 1024 * 1024,
  writeDecodedMaxBytes: 32 * 1024 * 1024,
  writeSeriesMax: 200_000,
  writeSideMax: 50_000,
  labelsMax: 256,
  labelNameMaxBytes: 4096,
  labelValueMaxBytes: 64 * 1024,
  seriesKeyMaxBytes: 256 * 1024,
  ownerQueueMaxBytes: 64 * 1024 * 1024,
  dictionaryMaxBytes: 32 * 1024 * 1024,
  seriesCacheMax: 4_000_000,
  metadataCacheMaxBytes: 16 * 1024 * 1024,
};

/** The flag that sets each limit; error texts name it. */
export const LIMIT_FLAGS: { readonly [limit in keyof InsertLimits]: string } = {
  writeBodyMaxBytes: "--write-body-max",
  writeDecodedMaxBytes: "--write-decoded-max",
  writeSeriesMax: "--write-series-max",
  writeSideMax: "--write-side-max",
  labelsMax: "--labels-max",
  labelNameMaxBytes: "--label-name-max",
  labelValueMaxBytes: "--label-value-max",
  seriesKeyMaxBytes: "--series-key-max",
  ownerQueueMaxBytes: "--owner-queue-max",
  dictionaryMaxBytes: "--dictionary-max",
  seriesCacheMax: "--series-cache-max",
  metadataCacheMaxBytes: "--metadata-cache-max",
};
