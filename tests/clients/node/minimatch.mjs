// The original's judgement: reads one JSON object {pattern, hosts} per line, and writes one JSON array per line with the
// hosts that minimatch lets the pattern match, or null where it throws.
//
// Letters match in any case here too. Where one of these holds, each pattern that the braces stand for is judged alone:
// * One ends in a dot, which we cut.
// * One has a `[`. Version 11 joins them into one `@(…|…)`, where a `[` that nothing closes is closed by the next `]`.
// * A range is left as it stands, as behind `{a}`. Version 11 expands it all the same if it has a hundred numbers.
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const { minimatch, Minimatch } = createRequire(import.meta.url)('minimatch');
const options = { nocase: true };

function matcher(pattern) {
  const expanded = minimatch.braceExpand(pattern);
  if (!expanded.some((one) => one.endsWith('.') || one.includes('[') || /\{-?\d+\.\.-?\d+\}/.test(one))) {
    const whole = new Minimatch(pattern, options);
    return (host) => whole.match(host);
  }
  const cut = expanded.map((one) => one.replace(/(?<!\\)((?:\\\\)*)\\?\.$/, '$1'));
  const all = cut.map((one) => new Minimatch(one, { ...options, nobrace: true, nonegate: true, nocomment: true }));
  return (host) => all.some((one) => one.match(host));
}

for await (const line of createInterface({ input: process.stdin })) {
  const { pattern, hosts } = JSON.parse(line);
  let matching = null;
  try {
    matching = hosts.filter(matcher(pattern));
  } catch {
    // A pattern that it cannot take.
  }
  console.log(JSON.stringify(matching));
}
