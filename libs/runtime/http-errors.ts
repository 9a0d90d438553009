// libs/runtime/http-errors.ts: the one place where an error becomes an HTTP status.
// The same table serves the query API (JSON with an errorType) and every other route (text).
import { AppError, InvalidError, LimitError, UnavailableError } from "../model/index.ts";

/** An error of HTTP itself: the request's form, size or route. */
export class HttpError extends InvalidError {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** How an error is answered. */
export interface ErrorAnswer {
  readonly status: number;
  /** Prometheus' errorType. */
  readonly type: string;
  readonly message: string;
  /** For Retry-After; 0 when a retry is not what would help. */
  readonly retryAfterSeconds: number;
  /** Whether it is our fault and belongs into the log with its stack. */
  readonly ours: boolean;
}

/** Maps an error to its status, errorType and text. Texts of unexpected errors stay in the log. */
export function answerError(error: unknown): ErrorAnswer {
  if (!(error instanceof AppError)) {
    const message = "cannot answer request: got an internal error; want a report with the server's log";
    return { status: 500, type: "internal", message, retryAfterSeconds: 0, ours: true };
  }
  const answer = (status: number, type: string, retryAfterSeconds = 0): ErrorAnswer => {
    return { status, type, message: error.message, retryAfterSeconds, ours: false };
  };
  if (error instanceof HttpError) return answer(error.status, "bad_data");
  switch (error.reaction) {
    case "invalid":
      return answer(400, "bad_data");
    case "execution":
      return answer(422, "execution");
    case "limit":
      return error instanceof LimitError && error.concurrency
        ? answer(429, "too_many_requests", 1)
        : answer(422, "execution");
    case "unavailable":
      return answer(503, "unavailable", error instanceof UnavailableError ? error.retryAfterSeconds : 1);
    case "timeout":
      return answer(503, "timeout");
    case "canceled":
      return answer(499, "canceled");
    case "corruption": {
      // Paths on our disk are for the log.
      const message = "cannot read stored data: got damaged bytes; want intact ones";
      return { status: 500, type: "internal", message, retryAfterSeconds: 0, ours: true };
    }
    case "internal":
      return { status: 500, type: "internal", message: error.message, retryAfterSeconds: 0, ours: true };
  }
}
