// test/unit/runtime/flags.test.ts: the command line of a small program: values, sources, refusals, help.
import { expect, test } from "vitest";
import { InvalidError } from "../../../libs/model/index.ts";
import {
  command,
  type Flag,
  flagName,
  flagTexts,
  flagVariable,
  parseCount,
  runCommandLine,
} from "../../../libs/runtime/index.ts";

const count = (fallback: string | undefined): Flag<number> => {
  return { placeholder: "N", form: "a whole number", help: "How many.", fallback, parse: parseCount };
};
const FLAGS = {
  maxItems: count("5"),
  dataDir: {
    placeholder: "DIR",
    form: "a directory",
    help: "Where.",
    fallback: "./data",
    parse: (t: string) => t || undefined,
  },
  insecure: {
    placeholder: "",
    form: "true or false",
    help: "Allow it.",
    fallback: "false",
    parse: (t: string) => (t === "true" ? true : t === "false" ? false : undefined),
  },
};

interface Run {
  readonly values?: unknown;
  readonly printed: string;
  readonly error?: string;
}

async function run(line: string, env: Record<string, string> = {}): Promise<Run> {
  let values: unknown;
  let printed = "";
  const check = ({ maxItems }: { readonly maxItems: number }): void => {
    if (maxItems === 13) throw new InvalidError("cannot use --max-items: got 13; want a lucky number");
  };
  const commands = [
    command("go", "Goes.", FLAGS, check, async (v) => {
      values = v;
    }),
    command(
      "need",
      "Needs.",
      { items: count(undefined) },
      () => {},
      async (v) => {
        values = v;
      },
    ),
  ];
  const options = { program: "prog", summary: "A program.", version: "1.2.3", commands, env };
  try {
    await runCommandLine({ ...options, print: (t) => (printed += t) }, line === "" ? [] : line.split(" "));
  } catch (error) {
    expect(error).toBeInstanceOf(InvalidError);
    return { printed, error: (error as Error).message };
  }
  return { values, printed };
}

const DEFAULTS = { maxItems: 5, dataDir: "./data", insecure: false };

test.each<[string, Record<string, string>, object]>([
  ["go", {}, DEFAULTS],
  ["go --max-items 7", {}, { ...DEFAULTS, maxItems: 7 }],
  ["go --max-items=7 --insecure", {}, { ...DEFAULTS, maxItems: 7, insecure: true }],
  ["go", { TIDEMARK_MAX_ITEMS: "8", TIDEMARK_INSECURE: "true" }, { ...DEFAULTS, maxItems: 8, insecure: true }],
  ["go --max-items 7", { TIDEMARK_MAX_ITEMS: "8" }, { ...DEFAULTS, maxItems: 7 }],
  ["go", { TIDEMARK_MAX_ITEMS: "" }, DEFAULTS],
  ["need --items 1e3", {}, { items: 1000 }],
])("%s with %j", async (line, env, values) => {
  expect((await run(line, env)).values).toEqual(values);
});

test.each<[string, Record<string, string>, string]>([
  ["go --max-items x", {}, 'cannot use --max-items: got "x"; want a whole number'],
  ["go", { TIDEMARK_MAX_ITEMS: "x" }, 'cannot use --max-items (from TIDEMARK_MAX_ITEMS): got "x"; want a whole number'],
  ["go --max-items 13", {}, "cannot use --max-items: got 13; want a lucky number"],
  ["go --max-items", {}, "cannot use --max-items: got no value; want a whole number"],
  ["go --max-items --insecure", {}, "cannot use --max-items: got no value; want a whole number"],
  ["go --max-item 5", {}, "cannot use flag: got --max-item; want one that --help lists (did you mean --max-items?)"],
  ["go --colour", {}, "cannot use flag: got --colour; want one that --help lists"],
  [
    "go there",
    {},
    "cannot use arguments: got too many arguments for 'go'. Expected 0 arguments but got 1.; want flags only",
  ],
  ["need", {}, "cannot start: got no --items; want a whole number"],
  ["", {}, "cannot run prog: got no command; want one of go, need"],
  ["gone", {}, 'cannot run command: got "gone"; want one of go, need (did you mean go?)'],
])("%s with %j is refused", async (line, env, error) => {
  expect((await run(line, env)).error).toBe(error);
});

test("help tells every flag with default and environment twin", async () => {
  const { printed } = await run("go --help");
  for (const key of Object.keys(FLAGS)) {
    expect(printed).toContain(flagName(key));
    expect(printed).toContain(flagVariable(key));
  }
  expect(printed.replace(/\s+/g, " ")).toContain("How many. (default: 5; env: TIDEMARK_MAX_ITEMS)");
  expect((await run("--help")).printed).toContain("Goes.");
  expect((await run("help go")).printed).toContain("--max-items <N>");
  expect((await run("--version")).printed.trim()).toBe("1.2.3");
});

test("the texts behind the values are kept, whatever they came from", async () => {
  const { values } = await run("go --max-items 7", { TIDEMARK_DATA_DIR: "/elsewhere" });
  expect(flagTexts(values as object)).toEqual({ "max-items": "7", "data-dir": "/elsewhere", insecure: "false" });
  expect(flagTexts({ maxItems: 7 })).toEqual({});
});
