// libs/runtime/index.ts: what services use to run: flags, log, metrics, HTTP, shutdown.
export {
  type CommandSpec,
  command,
  type Flag,
  type FlagTable,
  type FlagValues,
  flagName,
  flagTexts,
  flagVariable,
  runCommandLine,
} from "./flags.ts";
export { HttpServer, type HttpServerOptions, listenHttp, type Route } from "./http.ts";
export { answerError, type ErrorAnswer, HttpError } from "./http-errors.ts";
export { Exchange, GZIP_MIN_BYTES } from "./http-exchange.ts";
export { DURATION_BOUNDS_S, DurationHistogram, HttpStats } from "./http-stats.ts";
export { Lifecycle, type LifecycleState } from "./lifecycle.ts";
export { createLog, defaultLogFormat, type LogFormat, type Logger, type LogLevel } from "./log.ts";
export {
  type ExposedFamily,
  httpReadings,
  type LabelledValue,
  METRICS,
  type MetricName,
  Metrics,
  type Readings,
} from "./metrics.ts";
export { operationalRoutes } from "./operational-routes.ts";
export { requestTenant } from "./request-tenant.ts";
export { exitOnSignals, type Stop, stopInOrder } from "./shutdown.ts";
export {
  formatDurationMs,
  formatHostPort,
  formatSizeBytes,
  type HostPort,
  isLoopback,
  parseCount,
  parseDurationMs,
  parseHostPort,
  parseSizeBytes,
} from "./units.ts";
