// libs/kernel/twin/identify.ts: which sid label bytes belong to: a Map. Twin of assembly/lib/forms.ts, predict.ts and identify.ts.

export class FormMap {
  private readonly sids = new Map<string, number>();
  private readonly seen = new Map<number, number>();
  epoch = 0;

  private key(tenant: number, labels: Uint8Array): string {
    return `${tenant}:${Buffer.from(labels).toString("latin1")}`;
  }

  remember(tenant: number, labels: Uint8Array, sid: number): void {
    this.sids.set(this.key(tenant, labels), sid);
    this.seen.set(sid, this.epoch);
  }

  /** The sid, or 0. */
  lookUp(tenant: number, labels: Uint8Array): number {
    return this.sids.get(this.key(tenant, labels)) ?? 0;
  }

  /** The sid of a row with samples, or 0; marks it as seen. */
  identify(tenant: number, labels: Uint8Array): number {
    const sid = this.lookUp(tenant, labels);
    if (sid !== 0) this.seen.set(sid, this.epoch);
    return sid;
  }

  /** Forgets forms of sids not seen for more than `ageMax` epochs. Returns how many are left. */
  sweep(ageMax: number): number {
    for (const [key, sid] of this.sids) {
      if (((this.epoch - this.seen.get(sid)!) & 255) > ageMax) this.sids.delete(key);
    }
    return this.sids.size;
  }
}
