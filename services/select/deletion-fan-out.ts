// services/select/deletion-fan-out.ts: deletions on several storages as if they were one: every one of them has to say that it is durable.
import {
  type Deletable,
  type Deletion,
  type DeletionRequest,
  InvalidError,
  type PendingDeletion,
  UnavailableError,
} from "../../libs/model/index.ts";

/** A storage and the name that errors call it by. */
export interface DeletableNode {
  readonly name: string;
  readonly deletable: Deletable;
}

/** The storages as one. What fails on one of them may be done on others: to be asked for again, which hides nothing twice. */
export function fanOutDeletions(nodes: readonly DeletableNode[]): Deletable {
  return new FanOutDeletions(nodes);
}

class FanOutDeletions implements Deletable {
  readonly #nodes: readonly DeletableNode[];

  constructor(nodes: readonly DeletableNode[]) {
    this.#nodes = nodes;
  }

  async deleteSeries(request: DeletionRequest): Promise<Deletion | undefined> {
    try {
      const made = await this.#all((deletable) => deletable.deleteSeries(request));
      return sumOf(made.filter((one) => one !== undefined));
    } catch (error) {
      // What one of them refuses is done on none.
      if (error instanceof InvalidError) await this.undelete(request.tenant, request.id).catch(() => undefined);
      throw error;
    }
  }

  async undelete(tenant: string, id: string): Promise<Deletion> {
    let unknown: InvalidError | undefined;
    const undone = await this.#all(async (deletable) => {
      try {
        return await deletable.undelete(tenant, id);
      } catch (error) {
        // A storage that had nothing to hide knows nothing of the deletion.
        if (!(error instanceof InvalidError)) throw error;
        unknown = error;
        return undefined;
      }
    });
    const sum = sumOf(undone.filter((one) => one !== undefined));
    if (sum === undefined) throw unknown!;
    return sum;
  }

  async deletions(tenant: string): Promise<PendingDeletion[]> {
    const all = (await this.#all((deletable) => deletable.deletions(tenant))).flat();
    return [...new Set(all.map(({ id }) => id))]
      .map((id) => {
        const same = all.filter((one) => one.id === id);
        return { ...sumOf(same)!, undoUntilMs: Math.min(...same.map(({ undoUntilMs }) => undoUntilMs)) };
      })
      .sort((a, b) => a.madeMs - b.madeMs);
  }

  async cleanTombstones(): Promise<void> {
    await this.#all((deletable) => deletable.cleanTombstones());
  }

  async #all<T>(ask: (deletable: Deletable) => Promise<T>): Promise<T[]> {
    if (this.#nodes.length === 0) throw new UnavailableError("cannot delete series: got no storage; want at least one");
    const answers = await Promise.allSettled(this.#nodes.map(({ deletable }) => ask(deletable)));
    return answers.map((answer, i) => {
      if (answer.status === "fulfilled") return answer.value;
      if (answer.reason instanceof InvalidError) throw answer.reason;
      const reason = answer.reason instanceof Error ? answer.reason.message : String(answer.reason);
      throw new UnavailableError(
        `cannot finish on storage ${this.#nodes[i]!.name}: got ${reason}; want it asked again`,
        1,
        {
          cause: answer.reason,
        },
      );
    });
  }
}

/** One deletion as several storages know it. */
function sumOf<T extends Deletion>(parts: readonly T[]): T | undefined {
  const [first] = parts;
  return first === undefined ? undefined : { ...first, series: parts.reduce((sum, { series }) => sum + series, 0) };
}
