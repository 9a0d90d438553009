// services/insert/connector.ts: reaches a storage, again and again, with growing pauses.
import type { Clock, Random, Timer } from "../../libs/env/index.ts";
import { type IngestSession, type IngestTarget, UnavailableError } from "../../libs/model/index.ts";

const CONNECT_TIMEOUT_MS = 10_000;
const PAUSE_FIRST_MS = 100;
const PAUSE_LAST_MS = 5_000;

export interface ConnectorOptions {
  readonly target: IngestTarget;
  readonly clock: Clock;
  readonly random: Random;
  /** Takes the session, or throws when it is not wanted: then the next attempt follows. */
  readonly adopt: (session: IngestSession) => void;
  /** Hears why an attempt failed. */
  readonly onFailure: (reason: string) => void;
}

export class Connector {
  /** Whether an attempt or a pause before one is under way. */
  isTrying = false;
  private readonly options: ConnectorOptions;
  private readonly stopping = new AbortController();
  private pauseMs = 0;

  constructor(options: ConnectorOptions) {
    this.options = options;
  }

  get isStopped(): boolean {
    return this.stopping.signal.aborted;
  }

  stop(): void {
    this.stopping.abort(new UnavailableError("cannot connect: got a shutdown; want a running insert"));
  }

  /** The next attempt comes without a pause. Pauses otherwise grow even over connections that end soon. */
  hurry(): void {
    this.pauseMs = 0;
  }

  /** Begins to try, unless it does already. */
  start(): void {
    if (this.isTrying) return;
    this.isTrying = true;
    void this.run();
  }

  private async run(): Promise<void> {
    const { clock, random, adopt, onFailure } = this.options;
    while (!this.isStopped) {
      const pauseMs = this.pauseMs;
      this.pauseMs = Math.min(Math.max(pauseMs * 2, PAUSE_FIRST_MS), PAUSE_LAST_MS);
      try {
        // Between half and the whole pause, so that many inserts do not come back at the same moment.
        if (pauseMs > 0) await clock.sleep(pauseMs * (0.5 + random.float() / 2), this.stopping.signal);
        const session = await this.reach();
        // Before anyone else's turn: the session may end at once, and then this is to begin again.
        this.isTrying = false;
        adopt(session);
        return;
      } catch (error) {
        this.isTrying = true;
        if (!this.isStopped) onFailure(error instanceof Error ? error.message : String(error));
      }
    }
  }

  /** One attempt. A session that comes too late is closed. */
  private async reach(): Promise<IngestSession> {
    const { target, clock } = this.options;
    const attempt = target.connect();
    let late = false;
    let timer: Timer | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = clock.after(CONNECT_TIMEOUT_MS, () => {
        late = true;
        reject(new UnavailableError(`no answer within ${CONNECT_TIMEOUT_MS} ms`));
      });
    });
    attempt.then(
      (session) => {
        if (late) session.close().catch(() => {});
      },
      () => {},
    );
    try {
      return await Promise.race([attempt, timeout]);
    } finally {
      timer?.cancel();
    }
  }
}
