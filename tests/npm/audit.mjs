// Runs the audit suite of GraphQL over HTTP against an address: node audit.mjs URL TOKEN. A line of JSON for each check.
import { serverAudits } from "graphql-http";

const [url, token] = process.argv.slice(2);
const ours = { authorization: `Bearer ${token}`, "graphql-require-preflight": "1" }; // without which we answer no GET
const fetchFn = (address, options) =>
  fetch(address, { ...options, headers: { ...options?.headers, ...ours } });

for (const audit of serverAudits({ url, fetchFn })) {
  const { id, name, status, reason } = await audit.fn();
  console.log(JSON.stringify({ id, name, status, reason }));
}
