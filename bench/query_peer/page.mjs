// graphql-js, executing a page of the inbox. Arguments: the folder that has `graphql` installed, the schema's file.
// Reads lines of JSON: first {query, edges}, then {runs}, and answers the latter with the milliseconds of each run.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [folder, file] = process.argv.slice(2);
const { buildSchema, execute, parse, validate } = createRequire(`${folder}/`)("graphql");

const PREVIEW = 140;

class Message {
  constructor(message) {
    Object.assign(this, message, { sentAt: new Date(message.sentAt) });
  }
  preview() {
    const line = this.text.slice(0, 4 * PREVIEW).trim().split(/\s+/).join(" ");
    return line.length <= PREVIEW ? line : `${line.slice(0, PREVIEW - 1).trimEnd()}…`;
  }
}

function edgeOf({ cursor, node }) {
  const lastMessage = new Message(node.lastMessage);
  return { cursor, node: { ...node, lastMessage, lastActivityAt: new Date(node.lastActivityAt) } };
}

const schema = buildSchema(readFileSync(file, "utf8"));
schema.getType("DateTime").serialize = (time) => time.toISOString();
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const { query, edges } = JSON.parse((await lines.next()).value);
const document = parse(query);
const mistakes = validate(schema, document);
if (mistakes.length) throw new Error(mistakes.join("\n"));
const page = { edges: edges.map(edgeOf), position: "a.1", pageInfo: { hasNextPage: true, endCursor: "a" } };
const rootValue = { inbox: async () => page };

for await (const line of lines) {
  const times = [];
  let result;
  for (let run = 0; run < JSON.parse(line).runs; run++) {
    const started = process.hrtime.bigint();
    result = await execute({ schema, document, rootValue });
    times.push(Number(process.hrtime.bigint() - started) / 1e6);
  }
  console.log(JSON.stringify({ times, data: result.data, errors: result.errors }));
}
