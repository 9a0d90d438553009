// test/unit/model/moment.test.ts: whoever holds a moment sees everything as it was then, whatever is changed how often: a twin copies it all.
import fc from "fast-check";
import { expect, test } from "vitest";
import { Moment } from "../../../libs/model/index.ts";

test("moments show what copies hold", () => {
  const anyChange = fc.record({ key: fc.nat(5), value: fc.nat(100), looks: fc.boolean() });
  const property = fc.property(fc.array(anyChange, { maxLength: 60 }), (changes) => {
    const now = new Map<number, { value: number }>();
    const readers: { moment: Moment<{ value: number }>; copy: Map<number, number> }[] = [];
    let moment = new Moment<{ value: number }>();
    for (let key = 0; key <= 5; key++) now.set(key, { value: 0 });
    for (const { key, value, looks } of changes) {
      if (looks) {
        if (moment.isOver) moment = moment.follow();
        readers.push({ moment, copy: new Map([...now].map(([one, { value: old }]) => [one, old])) });
      }
      moment.keep(key, () => ({ ...now.get(key)! }));
      now.get(key)!.value = value;
    }
    for (const { moment: held, copy } of readers) {
      for (const [key, value] of copy) {
        expect((held.of(key) ?? now.get(key)!).value).toBe(value);
        expect((held.all.get(key) ?? now.get(key)!).value).toBe(value);
      }
    }
  });
  fc.assert(property);
});
