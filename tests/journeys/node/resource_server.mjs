// The example of docs/protect/other-languages.md, asked line by line: {verify: token}, {alive: token} or {pass: seconds}.
// Answers with the status that a resource server would give.
import { createInterface } from "node:readline";

let passed = 0;
const [read, readDate] = [performance.now.bind(performance), Date.now];
performance.now = () => read() + passed;
Date.now = () => readDate() + passed;

const { verify, requireAlive } = await import("./other_languages.mjs");

async function status(question) {
  try {
    if ("verify" in question) await verify(question.verify);
    else await requireAlive(question.alive);
    return 200;
  } catch (error) {
    return error.status ?? String(error);
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  if ("pass" in question) passed += question.pass * 1000;
  console.log(JSON.stringify("pass" in question ? null : await status(question)));
}
