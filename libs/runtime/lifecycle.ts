// libs/runtime/lifecycle.ts: where a process stands between start and stop; readiness and refusals follow from it.
// starting → ready → stopping, never back. Requests that need the engine are refused only while starting: while stopping,
// those that still arrive on open connections are answered, because the engine closes after the last of them.

export type LifecycleState = "starting" | "ready" | "stopping";

export class Lifecycle {
  #state: LifecycleState = "starting";
  /** What a ready process does not do now, a sentence; undefined when it does all. */
  restriction: () => string | undefined = () => undefined;

  get state(): LifecycleState {
    return this.#state;
  }

  /** The engine is open. Has no effect once stopping. */
  becomeReady(): void {
    if (this.#state === "starting") this.#state = "ready";
  }

  /** From now on `/-/ready` answers 503, so that load balancers look elsewhere. */
  beginStopping(): void {
    this.#state = "stopping";
  }
}
