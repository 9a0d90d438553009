// libs/tsdb/plan-pool.ts: window plans to be used again: a query over hundreds of targets needs one for each, with eight
// arrays of a slot per step, and allocating those took longer than filling them.
import { createWindowPlan, type WindowPlan } from "../promql/index.ts";

/** Plans kept while nobody uses them. */
const PLANS_MAX = 1024;
/** Plans for more steps than this are left to the garbage collector: a kept plan holds 56 bytes for each. */
const STEPS_MAX = 512;

/** Spare window plans of one storage. */
export class PlanPool {
  private readonly spare: WindowPlan[] = [];

  /** A plan to be filled by planWindows. */
  take(): WindowPlan {
    return this.spare.pop() ?? createWindowPlan();
  }

  /** Takes a plan back; its former user must not look at it again. */
  give(plan: WindowPlan): void {
    if (this.spare.length < PLANS_MAX && plan.from.length <= STEPS_MAX) this.spare.push(plan);
  }
}
