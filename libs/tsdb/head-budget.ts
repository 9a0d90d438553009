// libs/tsdb/head-budget.ts: how much memory all heads together may use (--head-memory), and what happens as it fills: at 80 % the windows
// are sealed early and cut at once, at 95 % new series are refused while known ones go on, at its end batches wait.
// Relief is worth its blocks only when there is something to move: a head that is full of series, not of samples, is not cut again and again.

const SEAL_SHARE = 0.8;
const TIGHT_SHARE = 0.95;
/** What must have come since the last cut, as a share, before the next early one. */
const WORTH_SHARE = 0.05;

export class HeadBudget {
  /** Of all heads. */
  readonly totalBytes: number;
  private readonly usedBytes: () => number;
  private sealFromBytes: number;
  /** Windows sealed before their time. */
  earlySeals = 0;

  constructor(totalBytes: number, usedBytes: () => number) {
    this.totalBytes = totalBytes;
    this.usedBytes = usedBytes;
    this.sealFromBytes = SEAL_SHARE * totalBytes;
  }

  /** Whether the windows should be sealed and cut now. */
  get wantsSeal(): boolean {
    return this.usedBytes() >= this.sealFromBytes;
  }

  /** Whether new series are refused. */
  get isTight(): boolean {
    return this.usedBytes() >= TIGHT_SHARE * this.totalBytes;
  }

  /** Whether batches must wait. */
  get isSpent(): boolean {
    return this.usedBytes() >= this.totalBytes;
  }

  /** Whether that much memory, kept for later use, fits beside what is used. */
  fits(idleBytes: number): boolean {
    return this.usedBytes() + idleBytes <= this.totalBytes;
  }

  /** Heads have been cut. */
  relieved(): void {
    this.sealFromBytes = Math.max(SEAL_SHARE * this.totalBytes, this.usedBytes() + WORTH_SHARE * this.totalBytes);
  }
}
