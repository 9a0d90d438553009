// libs/tsdb/read-ahead.ts: looks into blocks before the first query does, those that are there at a start, the newest first, and those that come
// later: what queries look at is then in memory, and the code that reads blocks has run. In slices, and only while no query is at work, once there
// can be any.
// Invariant: an answer never depends on it. A damaged block that it meets leaves service as if a query had met it.
import { setImmediate as breathe } from "node:timers/promises";
import { CanceledError, type QueryContext, TimeoutError } from "../model/index.ts";
import { evaluateLeaf } from "./evaluate.ts";
import { Pace } from "./pace.ts";
import type { PlanPool } from "./plan-pool.ts";
import { questionsOf } from "./rehearsal.ts";
import type { DbState } from "./state.ts";
import type { StoredBlock } from "./stored-block.ts";

/** Of the memory for blocks, what is read ahead may take this share: the rest is for what queries really ask. */
const MEMORY_SHARE = 0.5;
/** How long it works at a stretch, and how long it waits before it looks again whether queries are at work. */
const SLICE_MS = 2;
const WAIT_MS = 20;
/** After readiness: who has waited for it may ask now, and would meet the work. */
const QUIET_MS = 500;
/** Of the time before readiness, reading is over by this; the rest is for the rehearsal. */
const READING_SHARE = 0.6;
/** The rehearsal: how many questions it asks. */
const QUESTIONS_MAX = 400;

/** Of memory outside its heap, after which V8 collects. */
const PRESSURE_BYTES = 64 << 20;

export interface ReadAheadStats {
  /** Blocks that were read ahead since the start. */
  blocks: number;
  /** Questions of the rehearsal that were asked. */
  questions: number;
  /** Time that it worked, in ms. */
  workedMs: number;
  isRunning: boolean;
}

type ReadAheadState = Pick<
  DbState,
  "clock" | "sources" | "blockMemory" | "quarantine" | "stats" | "selector" | "side" | "closing"
>;

export class ReadAhead {
  readonly stats: ReadAheadStats = { blocks: 0, questions: 0, workedMs: 0, isRunning: false };
  private readonly state: ReadAheadState;
  /** Those of queries: they find what the rehearsal has made. */
  private readonly plans: PlanPool;
  private readonly stopping = new AbortController();
  private readonly seen = new WeakSet<StoredBlock>();
  private running: Promise<void> | undefined;
  /** What it may take for blocks that come; 0 before it is known. */
  private budgetMs = 0;
  private hasNew = false;

  constructor(state: ReadAheadState, plans: PlanPool) {
    this.state = state;
    this.plans = plans;
  }

  /**
   * Before there are queries: works for `budgetMs` at most, the last part of it as a rehearsal. Errors: InternalError; none for what blocks
   * are like.
   */
  async beforeQueries(budgetMs: number): Promise<void> {
    await this.run(() => this.read(this.within(budgetMs * READING_SHARE, false)));
    // Where nothing was read there is nothing to collect, and who writes next would pay for it.
    if (this.stats.blocks > 0) collectSoon();
    const leftMs = budgetMs - this.stats.workedMs;
    await this.run(() => this.rehearse(this.within(leftMs, false)));
  }

  /**
   * Goes on with both until `budgetMs` is used, nothing is left or memory is: waits while queries are at work, and works half of the time at
   * most. From now on blocks that come later are read likewise, each time for as long. Errors: as those of beforeQueries.
   */
  besideQueries(budgetMs: number): Promise<void> {
    this.budgetMs = budgetMs;
    return this.run(async () => {
      await this.state.clock.sleep(QUIET_MS, this.stopping.signal).catch(() => undefined);
      const time = this.within(budgetMs, true);
      await this.read(time);
      await this.rehearse(time);
      await this.readNew();
    });
  }

  /** Tells of blocks that have come. Settles when they are read, or nothing is. Errors: as above. */
  blocksCame(): Promise<void> {
    if (this.budgetMs === 0 || this.stopping.signal.aborted) return Promise.resolve();
    this.hasNew = true;
    return this.running ?? this.run(() => this.readNew());
  }

  private async readNew(): Promise<void> {
    while (this.hasNew && !this.stopping.signal.aborted) {
      this.hasNew = false;
      const time = this.within(this.budgetMs, true);
      await this.read(time);
      // A storage that began without blocks has not asked any yet.
      await this.rehearse(time);
    }
  }

  /** Ends the work; settles once it has let go of all blocks. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running?.catch(() => undefined);
  }

  private run(work: () => Promise<void>): Promise<void> {
    this.stats.isRunning = true;
    this.running = work().finally(() => {
      this.running = undefined;
      this.stats.isRunning = false;
    });
    return this.running;
  }

  private within(budgetMs: number, stepsAside: boolean): WorkTime {
    return new WorkTime(this.state, this.stats, budgetMs, stepsAside, this.stopping.signal);
  }

  private async read(time: WorkTime): Promise<void> {
    await this.readBlocks(time);
    // What was read serves nobody before this is done, so it is, though the time be over.
    for (const _ of this.state.selector.numbered.publish()) {
      if (time.isDue) await time.canGoOn();
      if (this.stopping.signal.aborted) return;
    }
  }

  private async readBlocks(time: WorkTime): Promise<void> {
    for (const block of newestFirst(this.state.sources.blocks)) {
      if (this.seen.has(block)) continue;
      if (!(await time.canGoOn()) || this.isFull(0)) return;
      if (!this.state.sources.blocks.includes(block)) continue;
      await this.readBlock(block, time);
    }
  }

  private isFull(bytes: number): boolean {
    const { blockMemory } = this.state;
    return blockMemory.sizeBytes + bytes >= blockMemory.bytesMax * MEMORY_SHARE;
  }

  private async readBlock(block: StoredBlock, time: WorkTime): Promise<void> {
    block.acquire();
    try {
      for (const _ of this.steps(block)) {
        if (!time.isDue) continue;
        // What it holds now is counted only when it is released.
        if (!(await time.canGoOn()) || this.isFull(block.keptBytes)) return;
      }
      this.seen.add(block);
      this.stats.blocks++;
    } catch (error) {
      if (!this.state.quarantine.report(error)) throw error;
    } finally {
      block.release();
    }
  }

  private *steps(block: StoredBlock): Generator<void, void, void> {
    yield* block.readAhead();
    for (const { tenant } of block.reader.footer.tenants) yield* this.state.selector.numbered.add(tenant, block);
  }

  /** Asks the newest block what dashboards ask, for as long as there is time, and forgets the answers: that makes the code fast. */
  private async rehearse(time: WorkTime): Promise<void> {
    const { clock, selector, side, quarantine } = this.state;
    if (!(await time.canGoOn())) return;
    try {
      // Blocks of rows may be empty: no series' rows paid.
      const block = newestFirst(this.state.sources.blocks).find(({ reader }) => reader.seriesCount > 0);
      if (block === undefined) return;
      const { tenant } = block.reader.footer.tenants.toSorted((a, b) => b.count - a.count)[0]!;
      const questions = await questionsOf(block, tenant, new Pace(clock, time.context(tenant)));
      for (const leaf of questions) {
        if (this.stats.questions >= QUESTIONS_MAX || !(await time.canGoOn())) return;
        this.stats.questions++;
        const context = time.context(tenant);
        const pace = new Pace(clock, context, () => time.giveWay());
        await time.measure(() => evaluateLeaf(leaf, context, selector, this.state.sources, side, pace, this.plans));
      }
    } catch (error) {
      const isOver = error instanceof CanceledError || error instanceof TimeoutError;
      if (!isOver && !quarantine.report(error)) throw error;
    }
  }
}

/** The time that the work may take, cut into time. */
class WorkTime {
  private readonly state: ReadAheadState;
  private readonly stats: ReadAheadStats;
  private readonly stepsAside: boolean;
  private readonly signal: AbortSignal;
  private leftMs: number;
  private fromMs: number;

  constructor(
    state: ReadAheadState,
    stats: ReadAheadStats,
    budgetMs: number,
    stepsAside: boolean,
    signal: AbortSignal,
  ) {
    this.state = state;
    this.stats = stats;
    this.leftMs = budgetMs;
    this.stepsAside = stepsAside;
    this.signal = signal;
    this.fromMs = state.clock.monotonicMs();
  }

  get isDue(): boolean {
    return this.state.clock.monotonicMs() >= this.fromMs + SLICE_MS;
  }

  context(tenant: string): QueryContext {
    const deadlineMs = this.state.clock.nowMs() + this.leftMs;
    return { tenant, signal: this.signal, deadlineMs, samplesMax: Number.POSITIVE_INFINITY };
  }

  /** Lets others have their turn. Whether there is time left. */
  async canGoOn(): Promise<boolean> {
    const { clock } = this.state;
    const tookMs = this.account();
    await breathe();
    if (this.stepsAside) {
      if (tookMs >= 1) await this.sleep(tookMs);
      await this.untilFree();
    }
    this.fromMs = clock.monotonicMs();
    return !this.isOver;
  }

  /** Waits while queries are at work, in the middle of something. */
  async giveWay(): Promise<void> {
    if (!this.stepsAside || this.state.stats.leavesRunning === 0) return;
    this.account();
    await this.untilFree();
    this.fromMs = this.state.clock.monotonicMs();
  }

  private async untilFree(): Promise<void> {
    while (this.state.stats.leavesRunning > 0 && !this.isOver) await this.sleep(WAIT_MS);
  }

  /** Does work that lets others have their turn by itself. */
  async measure(work: () => Promise<unknown>): Promise<void> {
    await work();
    this.account();
  }

  private get isOver(): boolean {
    return this.leftMs <= 0 || this.signal.aborted || this.state.closing;
  }

  private account(): number {
    const nowMs = this.state.clock.monotonicMs();
    const tookMs = nowMs - this.fromMs;
    this.fromMs = nowMs;
    this.leftMs -= tookMs;
    this.stats.workedMs += tookMs;
    return tookMs;
  }

  private async sleep(delayMs: number): Promise<void> {
    try {
      await this.state.clock.sleep(delayMs, this.signal);
    } catch (error) {
      if (!this.signal.aborted) throw error;
    }
  }
}

/**
 * Makes V8 begin its next collection, which the rehearsal then pays for and not one of the first queries: what was read is most of the
 * PRESSURE_BYTES after which it would come anyway. Unlike gc() this keeps compiled code.
 */
function collectSoon(): void {
  // Never written to, so it takes no memory.
  new ArrayBuffer(PRESSURE_BYTES);
}

/** Samples before rows where both end at once: they answer more queries. */
function newestFirst(blocks: readonly StoredBlock[]): StoredBlock[] {
  return blocks.toSorted((a, b) => {
    return b.reader.footer.maxMs - a.reader.footer.maxMs || Number(a.isRows) - Number(b.isRows);
  });
}
