// libs/runtime/flags.ts: from a table of flags to a command line: parsing, environment twins, help and refusals.
// Every value is text until the flag's own parser accepts it. A refusal is one sentence that names the flag, says what
// was got and the accepted form. The command line wins over the environment, the environment over the default.
import { Command, CommanderError, Option } from "commander";
import { InvalidError } from "../model/index.ts";

/** One flag: how it is written, parsed, explained. */
export interface Flag<T> {
  /** `HOST:PORT` in `--http-listen HOST:PORT`; "" for a switch without a value. */
  readonly placeholder: string;
  /** The accepted form, completing "want …". */
  readonly form: string;
  /** What it is for, one sentence. */
  readonly help: string;
  /** The default as an operator would write it; undefined when the flag must be given. */
  readonly fallback: string | undefined;
  /** The value of a text, or undefined when the text has not the accepted form. */
  readonly parse: (text: string) => T | undefined;
}

// biome-ignore lint/suspicious/noExplicitAny: a table holds flags of any value type; FlagValues gives each its own back.
export type FlagTable = Readonly<Record<string, Flag<any>>>;
export type FlagValues<F extends FlagTable> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

/** One subcommand: its flags and what it does with their values. */
export interface CommandSpec {
  readonly name: string;
  readonly summary: string;
  readonly flags: FlagTable;
  /** What follows the command without a flag's name; it must be given. */
  readonly operand?: { readonly placeholder: string; readonly help: string } | undefined;
  readonly run: (values: never, operand: string) => Promise<void>;
}

/** A subcommand with its values' types kept. `check` refuses combinations: it throws InvalidError. */
export function command<F extends FlagTable>(
  name: string,
  summary: string,
  flags: F,
  check: (values: FlagValues<F>) => void,
  run: (values: FlagValues<F>, operand: string) => Promise<void>,
  operand?: CommandSpec["operand"],
): CommandSpec {
  return {
    name,
    summary,
    flags,
    operand,
    run: async (values: FlagValues<F>, given: string) => {
      check(values);
      await run(values, given);
    },
  };
}

/** `--data-dir` of `dataDir`. */
export function flagName(key: string): string {
  return `--${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}

/** `TIDEMARK_DATA_DIR` of `dataDir`. */
export function flagVariable(key: string): string {
  return `TIDEMARK_${key.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;
}

export interface CommandLineOptions {
  readonly program: string;
  readonly summary: string;
  readonly version: string;
  readonly commands: readonly CommandSpec[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Receives help and version texts. */
  readonly print: (text: string) => void;
}

/**
 * Parses the arguments (without node and script), and runs the subcommand they name.
 * Errors: InvalidError with one sentence for anything wrong on the command line or in the environment.
 */
export async function runCommandLine(options: CommandLineOptions, args: readonly string[]): Promise<void> {
  const program = new Command(options.program)
    .description(options.summary)
    .version(options.version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureOutput({ writeOut: options.print, writeErr: () => {} })
    .exitOverride();
  for (const spec of options.commands) addCommand(program, spec, options.env);
  try {
    await program.parseAsync(args as string[], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return;
    if (error.code === "commander.help") {
      options.print(program.helpInformation());
      throw new InvalidError(
        `cannot run ${options.program}: got no command; want one of ${options.commands.map((c) => c.name).join(", ")}`,
      );
    }
    throw refusal(error, options);
  }
}

function addCommand(program: Command, spec: CommandSpec, env: CommandLineOptions["env"]): void {
  const sub = program
    .command(spec.name)
    .description(spec.summary)
    .helpOption("-h, --help", "print this help")
    .allowExcessArguments(false)
    .exitOverride();
  for (const [key, flag] of Object.entries(spec.flags)) {
    const written = flag.placeholder === "" ? flagName(key) : `${flagName(key)} <${flag.placeholder}>`;
    const fallback = flag.fallback === undefined ? "required" : `default: ${flag.fallback}`;
    sub.addOption(new Option(written, `${flag.help} (${fallback}; env: ${flagVariable(key)})`));
  }
  if (spec.operand !== undefined) sub.argument(`<${spec.operand.placeholder}>`, spec.operand.help);
  sub.action(async () => {
    const given = sub.opts() as Record<string, string | boolean | undefined>;
    const run = spec.run as (values: object, operand: string) => Promise<void>;
    await run(readValues(spec.flags, given, env), sub.args[0] ?? "");
  });
}

function readValues(
  flags: FlagTable,
  given: Readonly<Record<string, string | boolean | undefined>>,
  env: CommandLineOptions["env"],
): object {
  const values: Record<string, unknown> = {};
  const texts: Record<string, string> = {};
  for (const [key, flag] of Object.entries(flags)) {
    const variable = flagVariable(key);
    const fromLine = given[key];
    // An empty variable counts as unset: container tools can often not remove one.
    const fromEnv = env[variable] === "" ? undefined : env[variable];
    const text = fromLine === undefined ? (fromEnv ?? flag.fallback) : String(fromLine);
    const source = fromLine === undefined && fromEnv !== undefined ? ` (from ${variable})` : "";
    if (text === undefined) throw new InvalidError(`cannot start: got no ${flagName(key)}; want ${flag.form}`);
    // The parser of the command line takes whatever follows a flag, the next flag too.
    if (typeof fromLine === "string" && fromLine.startsWith("--")) {
      throw new InvalidError(`cannot use ${flagName(key)}: got no value; want ${flag.form}`);
    }
    const value = flag.parse(text);
    if (value === undefined) {
      throw new InvalidError(`cannot use ${flagName(key)}${source}: got ${JSON.stringify(text)}; want ${flag.form}`);
    }
    values[key] = value;
    texts[flagName(key).slice(2)] = text;
  }
  writtenTexts.set(values, texts);
  return values;
}

const writtenTexts = new WeakMap<object, Readonly<Record<string, string>>>();

/** The texts behind values that a command line gave, by flag names without dashes; empty for other values. */
export function flagTexts(values: object): Readonly<Record<string, string>> {
  return writtenTexts.get(values) ?? {};
}

function refusal(error: CommanderError, options: CommandLineOptions): InvalidError {
  const quoted = /'([^']*)'/.exec(error.message)?.[1] ?? "";
  const hint = /\(Did you mean (.*)\?\)/.exec(error.message)?.[1];
  const meant = hint === undefined ? "" : ` (did you mean ${hint}?)`;
  switch (error.code) {
    case "commander.unknownOption":
      return new InvalidError(`cannot use flag: got ${quoted}; want one that --help lists${meant}`);
    case "commander.optionMissingArgument": {
      const [name, placeholder] = quoted.split(" ");
      const key = name!.replace(/^--/, "").replace(/-([a-z])/g, (_, c: string) => c.toUpperCase());
      const form = options.commands.find((c) => Object.hasOwn(c.flags, key))?.flags[key]?.form ?? placeholder;
      return new InvalidError(`cannot use ${name}: got no value; want ${form}`);
    }
    case "commander.unknownCommand": {
      const names = options.commands.map((c) => c.name).join(", ");
      return new InvalidError(`cannot run command: got ${JSON.stringify(quoted)}; want one of ${names}${meant}`);
    }
    case "commander.missingArgument":
      return new InvalidError(`cannot run command: got no ${quoted}; want one, as --help says`);
    default:
      return new InvalidError(`cannot use arguments: got ${error.message.replace(/^error: /, "")}; want flags only`);
  }
}
