// libs/model/errors.ts: one error class per reaction, not per cause.
// Message grammar: `cannot <verb> <thing>: got X; want Y`.

/** What the caller should do about an error; also its name in metrics and on the wire. */
export type Reaction =
  | "invalid" // the request can never succeed: 400
  | "execution" // a well-formed query failed while it ran: 422
  | "limit" // a named limit was met: 422, or 429 for concurrency
  | "unavailable" // time may cure it: 503 with Retry-After
  | "timeout" // the deadline passed: 503
  | "canceled" // the client went away: 499
  | "corruption" // bytes on disk are damaged: quarantine
  | "internal"; // our bug: 500

/** The root of all expected errors. `reaction` decides the HTTP and gRPC status, in one place each. */
export class AppError extends Error {
  readonly reaction: Reaction;
  constructor(reaction: Reaction, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reaction = reaction;
    this.name = new.target.name;
  }
}

export class InvalidError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super("invalid", message, options);
  }
}

export class ExecutionError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super("execution", message, options);
  }
}

/** A named limit was met. `limit` is the flag or parameter name that the operator can change. */
export class LimitError extends AppError {
  readonly limit: string;
  readonly concurrency: boolean;
  constructor(limit: string, message: string, concurrency = false) {
    super("limit", message);
    this.limit = limit;
    this.concurrency = concurrency;
  }
}

export class UnavailableError extends AppError {
  readonly retryAfterSeconds: number;
  constructor(message: string, retryAfterSeconds = 1, options?: ErrorOptions) {
    super("unavailable", message, options);
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export class TimeoutError extends AppError {
  constructor(message: string) {
    super("timeout", message);
  }
}

export class CanceledError extends AppError {
  constructor(message: string) {
    super("canceled", message);
  }
}

/** Damaged bytes on disk. `path` and `offset` say where. */
export class CorruptionError extends AppError {
  readonly path: string;
  readonly offset: number;
  constructor(message: string, path: string, offset: number) {
    super("corruption", message);
    this.path = path;
    this.offset = offset;
  }
}

export class InternalError extends AppError {
  constructor(message: string, options?: ErrorOptions) {
    super("internal", message, options);
  }
}

/** Fails loudly when one of our own invariants is broken. The message names the invariant. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InternalError(`invariant broken: ${message}`);
}
