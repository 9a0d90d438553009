// libs/rpc/status.ts: the one mapping between our errors and gRPC's, in both directions.
// Our own failures travel whole in the trailer `tidemark-failure-bin`; a failure without it comes from gRPC or the
// network and says nothing about the request, so time may cure it.
import { Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import {
  AppError,
  CanceledError,
  CorruptionError,
  ExecutionError,
  InternalError,
  InvalidError,
  LimitError,
  type Reaction,
  TimeoutError,
  UnavailableError,
} from "../model/index.ts";
import { contracts } from "./load.ts";
import type { FailureMessage } from "./messages.ts";

const FAILURE_HEADER = "tidemark-failure-bin";
/** Trailers share HTTP/2's limit on header bytes; text beyond this is cut. */
const TEXT_LENGTH_MAX = 8192;

const CODES: Readonly<Record<Reaction, status>> = {
  invalid: status.INVALID_ARGUMENT,
  execution: status.FAILED_PRECONDITION,
  limit: status.RESOURCE_EXHAUSTED,
  unavailable: status.UNAVAILABLE,
  timeout: status.DEADLINE_EXCEEDED,
  canceled: status.CANCELLED,
  corruption: status.DATA_LOSS,
  internal: status.INTERNAL,
};

/** Any error as data. What is not an AppError is our bug: "internal". */
export function failureOf(error: unknown): FailureMessage {
  const known = appErrorOf(error);
  return {
    reaction: known.reaction,
    text: wellFormed(known.message),
    limit: known instanceof LimitError ? known.limit : "",
    concurrency: known instanceof LimitError && known.concurrency,
    retryAfterSeconds: known instanceof UnavailableError ? known.retryAfterSeconds : 0,
    path: known instanceof CorruptionError ? known.path : "",
    offset: known instanceof CorruptionError ? known.offset : 0,
  };
}

/** The error that a peer meant. A reaction this version doesn't know is "internal". */
export function errorOfFailure(failure: FailureMessage): AppError {
  const { text } = failure;
  switch (failure.reaction) {
    case "invalid":
      return new InvalidError(text);
    case "execution":
      return new ExecutionError(text);
    case "limit":
      return new LimitError(failure.limit, text, failure.concurrency);
    case "unavailable":
      return new UnavailableError(text, failure.retryAfterSeconds);
    case "timeout":
      return new TimeoutError(text);
    case "canceled":
      return new CanceledError(text);
    case "corruption":
      return new CorruptionError(text, failure.path, failure.offset);
    default:
      return new InternalError(text);
  }
}

/** What a server answers when a call fails with `error`. */
export function statusOfError(error: unknown): Partial<StatusObject> & { code: status; details: string } {
  const failure = failureOf(error);
  const metadata = new Metadata();
  metadata.set(FAILURE_HEADER, contracts().failure.serialize(failure));
  // The details are for foreign tools; ours read the trailer.
  return { code: CODES[failure.reaction as Reaction], details: wellFormed(failure.text.slice(0, 512)), metadata };
}

/** What a failed call to `address` means. Timeouts and cancellations keep their reaction wherever they arose. */
export function errorOfStatus(error: ServiceError, address: string): AppError {
  const trailer = error.metadata?.get(FAILURE_HEADER)[0];
  if (Buffer.isBuffer(trailer)) {
    try {
      return errorOfFailure(contracts().failure.deserialize(trailer));
    } catch {
      return new UnavailableError(
        `cannot use the answer of ${address}: got a damaged failure; want a Tidemark storage`,
      );
    }
  }
  if (error.code === status.DEADLINE_EXCEEDED) {
    return new TimeoutError(`cannot wait for ${address}: got no answer before the deadline; want a longer timeout`);
  }
  if (error.code === status.CANCELLED) return new CanceledError(`cannot finish call to ${address}: got canceled`);
  return new UnavailableError(
    `cannot reach storage at ${address}: got ${status[error.code] ?? error.code} (${error.details}); want a Tidemark storage`,
    1,
    { cause: error },
  );
}

function appErrorOf(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (error instanceof Error && error.name === "AbortError") return new CanceledError(error.message);
  if (error instanceof Error && error.name === "TimeoutError") return new TimeoutError(error.message);
  return new InternalError(error instanceof Error ? error.message : String(error), { cause: error });
}

/** Text that every encoder takes: lone surrogates replaced, not longer than a trailer may be. */
function wellFormed(text: string): string {
  return Buffer.from(text.slice(0, TEXT_LENGTH_MAX)).toString();
}
